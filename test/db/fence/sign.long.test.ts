import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { openDatabase, protectTable, setUpFence } from '../../../db/index.js'
import { openMigrated, ownedDatabase } from '../../parts/logins.js'
import { migrateAll } from '../../parts/migrate.js'

const secret = randomBytes(32).toString('hex')

test('signed works with tables in another schema, and with a closed public schema', async () => {
  await using logins = await ownedDatabase()
  const database = await openMigrated(logins, secret)
  const owner = await openDatabase({ url: logins.ownerUrl, role: logins.role })
  try {
    await sql`create schema billing`.execute(owner.admin)
    await sql`create table billing.invoices (user_id text, id int, primary key (user_id, id))`.execute(
      owner.admin,
    )
    await protectTable(owner.admin, 'billing.invoices')
    await logins.administer('revoke all on schema public from public')
    expect(await database.fence()).toEqual({ level: 'signed', gaps: [], notes: [] })
    const alice = database.forUser('alice')
    await sql`insert into billing.invoices (id) values (1)`.execute(alice)
    await alice.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'hers' }).execute()
    await logins.administer(`revoke all on tasks from ${logins.role}`)
    expect((await database.fence()).gaps).toEqual([expect.objectContaining({ object: 'public.tasks' })])
  } finally {
    await owner.close()
    await database.close()
  }
})

test('ten processes can set it up at once', async () => {
  await using logins = await ownedDatabase()
  const { role, ownerUrl, server: login } = logins
  await logins.administer(`grant ${login} to ${new URL(ownerUrl).username} with admin option`)
  const owners = await Promise.all(Array.from({ length: 10 }, () => openDatabase({ url: ownerUrl, role })))
  const server = await openDatabase({ url: logins.serverUrl, role, fenceSecret: secret })
  try {
    await Promise.all(owners.map(({ admin: db }) => migrateAll(db, { role })))
    const left = await Promise.all(owners.map(({ admin: db }) => setUpFence(db, { role, login, secret })))
    expect(left.flat()).toEqual([])
    expect(await server.fence()).toMatchObject({ level: 'signed', gaps: [], notes: [] })
  } finally {
    for (const database of [...owners, server]) await database.close()
  }
})

test('the level is not signed while the login has its own grants', async () => {
  await using logins = await ownedDatabase()
  const database = await openMigrated(logins, secret)
  const { administer, server } = logins
  try {
    for (const [grant, revoke] of [
      [`create table sessions (token text); grant select on sessions to ${server}`, 'drop table sessions'],
      [`grant update (title) on tasks to ${server}`, `revoke all on tasks from ${server}`],
      [`create schema own authorization ${server}`, 'drop schema own'],
    ] as const) {
      await administer(grant)
      expect((await database.fence()).level).toBe('plain')
      await administer(revoke)
      expect((await database.fence()).level).toBe('signed')
    }
  } finally {
    await database.close()
  }
})
