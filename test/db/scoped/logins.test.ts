import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { emptyDatabase } from '../../parts/database.js'
import { migrateAll } from '../../parts/migrate.js'
import { runSql } from '../../parts/run-sql.js'

describe('a login that is not a superuser', () => {
  const password = randomBytes(12).toString('hex')
  let database: Awaited<ReturnType<typeof emptyDatabase>>
  let owner: string
  let server: string
  let role: string
  beforeEach(async () => {
    const suffix = randomBytes(6).toString('hex')
    ;[owner, server, role] = [`test_owner_${suffix}`, `test_server_${suffix}`, `test_role_${suffix}`]
    database = await emptyDatabase()
    await runSql(
      database.url,
      `create role ${owner} login password '${password}'`,
      `create role ${server} login noinherit password '${password}'`,
      `grant ${owner} to current_user`,
      `alter database ${new URL(database.url).pathname.slice(1)} owner to ${owner}`,
    )
  })
  afterEach(async () => {
    await database[Symbol.asyncDispose]()
    await runSql(
      inject('postgresUrl'),
      `drop role if exists ${role}`,
      `drop role ${owner}`,
      `drop role ${server}`,
    )
  })

  function open(login: string) {
    const url = new URL(database.url)
    url.username = login
    url.password = password
    return openDatabase({ url: url.href, role })
  }
  async function migrate(login: string) {
    const { admin: db, close } = await open(login)
    try {
      expect(await migrateAll(db, { role })).toEqual(['0001_isolation', '0002_tasks'])
    } finally {
      await close()
    }
  }
  async function serves(login: string) {
    const { admin: db, forUser, close } = await open(login)
    try {
      const { rows } = await sql<{ superuser: boolean }>`
        select rolsuper or rolbypassrls as superuser from pg_roles where rolname = session_user`.execute(db)
      expect(rows).toEqual([{ superuser: false }])
      const [alice, bob] = [forUser('alice'), forUser('bob')]
      await alice.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'hers' }).execute()
      await bob.transaction().execute(async trx => {
        await trx.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'his' }).execute()
        expect(await trx.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'his' }])
      })
      expect(await alice.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'hers' }])
      await alice.updateTable('tasks').set({ completed: true }).execute()
      expect((await bob.deleteFrom('tasks').executeTakeFirst()).numDeletedRows).toBe(1n)
      expect(await alice.selectFrom('tasks').select('completed').execute()).toEqual([{ completed: true }])
    } finally {
      await close()
    }
  }

  if (process.env.LONG_TESTS) {
    test('can own the database and create the role', async () => {
      await runSql(database.url, `alter role ${owner} createrole`)
      await migrate(owner)
      await serves(owner)
    })
  }

  test('can own the database and be a member of the role', async () => {
    await runSql(database.url, `create role ${role} nologin`, `grant ${role} to ${owner}`)
    await migrate(owner)
    await serves(owner)
  })

  if (process.env.LONG_TESTS) {
    test('can own nothing and be a member of the role, if another login migrates', async () => {
      await runSql(
        database.url,
        `create role ${role} nologin`,
        `grant ${role} to ${owner}`,
        `grant ${role} to ${server}`,
      )
      await migrate(owner)
      await serves(server)
    })
  }

  test('sees and changes every row as the owner of the tables, and only the own ones when it serves', async () => {
    await runSql(database.url, `create role ${role} nologin`, `grant ${role} to ${owner}`)
    await migrate(owner)
    const { admin: db, forUser, close } = await open(owner)
    try {
      for (const name of ['alice', 'bob'])
        await forUser(name).insertInto('tasks').values({ id: crypto.randomUUID(), title: name }).execute()
      await db.updateTable('tasks').set({ notes: 'backfilled' }).execute()
      const seen = async (handle: typeof db) =>
        handle.selectFrom('tasks').select(['title', 'notes']).orderBy('title').execute()
      const [hers, his] = ['alice', 'bob'].map(title => ({ title, notes: 'backfilled' }))
      expect(await seen(db)).toEqual([hers, his])
      expect(await seen(forUser('alice'))).toEqual([hers])
    } finally {
      await close()
    }
  })

  test('cannot migrate without the right to create the role, and changes nothing then', async () => {
    const { admin: db, close } = await open(owner)
    try {
      await expect(migrateAll(db, { role })).rejects.toMatchObject({ code: '42501' })
      const { rows } = await sql`
        select to_regclass('tasks') as tasks, to_regclass('trpc_bearer.migration') as migrations,
          to_regnamespace('trpc_bearer') as schema`.execute(db)
      expect(rows).toEqual([{ tasks: null, migrations: null, schema: null }])
    } finally {
      await close()
    }
  })

  test('sees nothing if it is not a member of the role', async () => {
    await runSql(database.url, `create role ${role} nologin`, `grant ${role} to ${owner}`)
    await migrate(owner)
    const { admin: db, forUser, close } = await open(server)
    try {
      await expect(forUser('alice').selectFrom('tasks').selectAll().execute()).rejects.toMatchObject({
        cause: { cause: { code: '42501' } },
      })
      await expect(db.selectFrom('tasks').selectAll().execute()).rejects.toMatchObject({ code: '42501' })
    } finally {
      await close()
    }
  })
})
