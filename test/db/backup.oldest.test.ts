import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { sql } from 'kysely'
import { expect, inject, test } from 'vitest'
import { openDatabase, protectTable } from '../../db/index.js'
import { openMigrated, ownedDatabase } from '../parts/logins.js'
import { run } from '../parts/program.js'
import { runSql } from '../parts/run-sql.js'
import { temporaryFolder } from '../parts/temporary-folder.js'

// pg_dump must be as new as the server: this test runs where both are of the oldest supported version.

test.each(['plain', 'signed'])(
  'a dump by the owner has every row, and restored it keeps users apart at the level %s',
  async level => {
    await using logins = await ownedDatabase()
    await using folder = await temporaryFolder()
    const fenceSecret = level === 'signed' ? randomBytes(32).toString('hex') : undefined
    const [alice, bob] = [randomUUID(), randomUUID()]
    await (await openMigrated(logins, fenceSecret)).close()
    const owner = await openDatabase({ url: logins.ownerUrl, role: logins.role })
    await sql`create table notes (id serial primary key, owner_id uuid, body text)`.execute(owner.admin)
    await sql`insert into notes (owner_id, body) values (${alice}, 'hers'), (${bob}, 'his')`.execute(
      owner.admin,
    )
    await protectTable(owner.admin, 'notes', { owner: 'owner_id' })
    await owner.close()

    const dump = join(folder.path, 'app.dump')
    expect(await run('pg_dump', ['-Fc', '-f', dump, '-d', logins.ownerUrl])).toMatchObject({
      code: 0,
      stderr: '',
    })
    const restored = `restored_${randomBytes(6).toString('hex')}`
    await runSql(inject('postgresUrl'), `create database ${restored} owner ${logins.owner}`)
    const at = (url: string) => Object.assign(new URL(url), { pathname: `/${restored}` }).href
    try {
      expect(await run('pg_restore', ['--exit-on-error', '-d', at(logins.ownerUrl), dump])).toMatchObject({
        code: 0,
        stderr: '',
      })
      const database = await openDatabase({ url: at(logins.serverUrl), role: logins.role, fenceSecret })
      expect(await database.fence()).toMatchObject({ level, gaps: [] })
      const bodies = async (user: string) =>
        (await sql<{ body: string }>`select body from notes`.execute(database.forUser(user))).rows.map(
          row => row.body,
        )
      expect([await bodies(alice), await bodies(bob), await bodies('somebody')]).toEqual([
        ['hers'],
        ['his'],
        [],
      ])
      await sql`insert into notes (body) values ('new')`.execute(database.forUser(alice))
      expect(await bodies(alice)).toEqual(['hers', 'new'])
      await database.close()
    } finally {
      await runSql(inject('postgresUrl'), `drop database ${restored} with (force)`)
    }
  },
)
