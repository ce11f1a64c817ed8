import { sql } from 'kysely'
import { Migrator, NO_MIGRATIONS } from 'kysely/migration'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DatabaseUnavailableError } from '../../../db/errors.js'
import {
  migrateTasks,
  migrateToLatest,
  openDatabase,
  pendingMigrations,
  protectTable,
} from '../../../db/index.js'
import { createMigrator } from '../../../db/migrations/kysely-migrator.js'
import { emptyDatabase, kindsOfThisRun, openEmptyDatabase, openTestDatabase } from '../../parts/database.js'

const all = ['0001_isolation', '0002_tasks']
const [isolation = ''] = all

async function findObjects(db: Awaited<ReturnType<typeof openEmptyDatabase>>['admin']) {
  const { rows } = await sql`
    select to_regclass('tasks') is not null as tasks, to_regprocedure('trpc_bearer.user_id()') is not null as isolation,
      to_regclass('trpc_bearer.migration') is not null as migrations`.execute(db)
  return rows[0]
}
const nothing = { tasks: false, isolation: false, migrations: false }

test('migrateToLatest creates the isolation, migrateTasks the table of tasks, and neither does it twice', async () => {
  await using database = await openEmptyDatabase()
  const { admin: db } = database
  expect(await pendingMigrations(db)).toEqual([isolation])
  expect(await pendingMigrations(db, { tasks: true })).toEqual(all)
  expect(await findObjects(db)).toEqual(nothing)
  expect(await migrateToLatest(db)).toEqual([isolation])
  expect(await findObjects(db)).toEqual({ tasks: false, isolation: true, migrations: true })
  expect(await pendingMigrations(db)).toEqual([])
  expect(await migrateTasks(db)).toEqual(all.slice(1))
  expect(await pendingMigrations(db, { tasks: true })).toEqual([])
  expect([await migrateToLatest(db), await migrateTasks(db)]).toEqual([[], []])
})

test('migrateToLatest restores the access to its schema, which a restore without privileges loses', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await sql`revoke usage on schema trpc_bearer from public`.execute(database.admin)
  const read = () => database.forUser('alice').selectFrom('tasks').select('id').execute()
  await expect(read()).rejects.toThrow(DatabaseUnavailableError)
  expect(await migrateToLatest(database.admin)).toEqual([])
  expect(await read()).toEqual([])
})

test('migrateToLatest creates the role again, which a restore without roles loses', async () => {
  await using database = await openEmptyDatabase()
  const { admin: db } = database
  const role = `lost_${crypto.randomUUID().slice(0, 8)}`
  const roles = async () =>
    (await sql`select rolname from pg_roles where rolname = ${role}`.execute(db)).rows.length
  await migrateToLatest(db, { role })
  await sql`drop role ${sql.id(role)}`.execute(db)
  expect(await migrateToLatest(db, { role })).toEqual([])
  expect(await roles()).toBe(1)
  await sql`drop role ${sql.id(role)}`.execute(db)
})

test('the isolation is all in the schema trpc_bearer', async () => {
  await using database = await openEmptyDatabase()
  const objects = async () => {
    const { rows } = await sql<{ name: string }>`
      select pg_describe_object('pg_class'::regclass, oid, 0) as name from pg_class
      where relnamespace <> all (array['pg_catalog', 'information_schema', 'pg_toast']::regnamespace[])
        and relnamespace is distinct from to_regnamespace('trpc_bearer')
      union all
      select pg_describe_object('pg_proc'::regclass, oid, 0) from pg_proc
      where oid >= 16384 and pronamespace is distinct from to_regnamespace('trpc_bearer')`.execute(
      database.admin,
    )
    return rows
  }
  const before = await objects()
  await migrateToLatest(database.admin)
  expect(await objects()).toEqual(before)
})

test('a table tasks of the application is no obstacle, and migrateTasks leaves it alone', async () => {
  await using database = await openEmptyDatabase()
  const { admin: db } = database
  await sql`create table tasks (id serial primary key, owner_id uuid)`.execute(db)
  await migrateToLatest(db)
  expect(await database.fence()).toMatchObject({ gaps: [] })
  await expect(migrateTasks(db)).rejects.toThrow('The database has another table tasks,')
  await protectTable(db, 'tasks', { owner: 'owner_id' })
  expect(await database.fence()).toMatchObject({ gaps: [] })
})

if (process.env.LONG_TESTS) {
  test('ten connections that migrate one database at once run each migration once', async () => {
    await using empty = await emptyDatabase()
    const databases = await Promise.all(Array.from({ length: 10 }, () => openDatabase({ url: empty.url })))
    try {
      const ran = await Promise.all(
        databases.map(async ({ admin: db }) => [...(await migrateToLatest(db)), ...(await migrateTasks(db))]),
      )
      expect(ran.flat().toSorted()).toEqual(all)
      expect(
        await Promise.all(databases.map(({ admin: db }) => pendingMigrations(db, { tasks: true }))),
      ).toEqual(databases.map(() => []))
    } finally {
      await Promise.all(databases.map(({ close }) => close()))
    }
  })
}

test('a database of the first version is taken over: its record, and its forced tables', async () => {
  await using database = await openEmptyDatabase()
  const { admin: db } = database
  await migrateToLatest(db)
  await migrateTasks(db)
  // What the first version had in place of the record, the list of tables and the policies.
  for (const statement of [
    `create table trpc_bearer_migration (name varchar(255) primary key, timestamp varchar(255) not null)`,
    `insert into trpc_bearer_migration values ('0001_tasks', '2026-11-01T00:00:00.000Z')`,
    'drop table trpc_bearer.migration cascade',
    'drop table trpc_bearer.protected_table cascade',
    'drop policy own_rows on tasks',
    'alter table tasks force row level security',
    'create policy own_rows on tasks to app_user using (trpc_bearer.policies_first() and user_id = (select trpc_bearer.user_id()))',
  ])
    await sql.raw(statement).execute(db)
  expect(await migrateToLatest(db)).toEqual([isolation])
  expect(await migrateTasks(db)).toEqual([])
  expect(await pendingMigrations(db, { tasks: true })).toEqual([])
  expect(await database.fence()).toMatchObject({ gaps: [], notes: [] })
  const { rows } = await sql`
    select relforcerowsecurity, to_regclass('trpc_bearer_migration') as record from pg_class where oid = 'tasks'::regclass`.execute(
    db,
  )
  expect(rows).toEqual([{ relforcerowsecurity: false, record: null }])
})

describe.each(kindsOfThisRun)('the migrator on %s', kind => {
  test('goes down, up, and to a name, but not to a missing one', async () => {
    await using database = await openTestDatabase(kind)
    const { admin: db } = database
    const migrator = createMigrator(db)
    const entry = (direction: 'Up' | 'Down', migrationName = isolation) => ({
      direction,
      migrationName,
      status: 'Success',
    })
    const executed = async () =>
      (await migrator.getMigrations()).map(({ name, executedAt }) => [name, !!executedAt])
    expect(await executed()).toEqual(all.map(name => [name, true]))

    expect(await migrator.migrateTo(NO_MIGRATIONS)).toEqual({
      results: all.toReversed().map(name => entry('Down', name)),
    })
    expect(await executed()).toEqual(all.map(name => [name, false]))
    expect(await findObjects(db)).toMatchObject({ tasks: false, isolation: false })
    expect(await migrator.migrateDown()).toEqual({ results: [] })

    expect(await migrator.migrateUp()).toEqual({ results: [entry('Up')] })
    expect((await executed())[0]).toEqual([isolation, true])
    expect(await migrator.migrateDown()).toEqual({ results: [entry('Down')] })

    expect(await migrator.migrateTo(isolation)).toEqual({ results: [entry('Up')] })
    expect(await migrator.migrateTo(isolation)).toEqual({ results: [] })
    expect(await migrator.migrateToLatest()).toEqual({ results: all.slice(1).map(name => entry('Up', name)) })
    expect(await migrator.migrateUp()).toEqual({ results: [] })
    expect(await database.forUser('alice').selectFrom('tasks').selectAll().execute()).toEqual([])

    const { error } = await migrator.migrateTo('9999_missing')
    expect(String(error)).toContain('9999_missing')
    expect(await pendingMigrations(db, { tasks: true })).toEqual([])
  })
})

test('a failed migration, alone or ten at once, leaves nothing behind, reports the error, and can run again', async () => {
  await using database = await openEmptyDatabase()
  const { admin: db } = database
  await sql`create schema trpc_bearer`.execute(db)
  await sql`create function trpc_bearer.shared_tables() returns int return 1`.execute(db)
  const { error, results } = await createMigrator(db).migrateToLatest()
  expect(error).toMatchObject({ code: '42P13' })
  expect(results).toMatchObject([{ migrationName: isolation, direction: 'Up', status: 'Error' }])
  const ten = Array.from({ length: 10 }, () => migrateToLatest(db))
  for (const one of await Promise.allSettled(ten))
    expect(one).toMatchObject({ status: 'rejected', reason: { code: '42P13' } })
  expect(await findObjects(db)).toEqual(nothing)
  await sql`drop function trpc_bearer.shared_tables()`.execute(db)
  expect(await migrateToLatest(db)).toEqual([isolation])
})

test('a migration of a newer version is not undone, and the error names it', async () => {
  await using database = await openEmptyDatabase()
  await migrateToLatest(database.admin)
  await sql`insert into trpc_bearer.migration values ('9999_future', '2099-01-01T00:00:00.000Z')`.execute(
    database.admin,
  )
  const { error } = await createMigrator(database.admin).migrateDown()
  expect(String(error)).toContain('9999_future')
  expect(await findObjects(database.admin)).toEqual({ tasks: false, isolation: true, migrations: true })
})

test.each(['before', 'after'])('your own Kysely migrations may run %s', async when => {
  await using database = await openEmptyDatabase()
  const { admin: db } = database
  const own = new Migrator({
    db,
    provider: {
      getMigrations: async () => ({
        '0000_first': { up: async () => {}, down: async () => {} },
        '0001_tasks': {
          up: async trx => {
            await sql`create table notes (user_id text primary key, body text)`.execute(trx)
            if (when === 'after') await protectTable(trx, 'notes')
          },
        },
      }),
    },
  })
  const runOwn = async () => {
    const { error, results } = await own.migrateToLatest()
    expect(error).toBeUndefined()
    expect(results).toMatchObject([{ status: 'Success' }, { status: 'Success' }])
  }
  if (when === 'before') await runOwn()
  expect(await migrateToLatest(db)).toEqual([isolation])
  if (when === 'after') await runOwn()
  expect(await migrateToLatest(db)).toEqual([])
  expect((await own.migrateToLatest()).results).toEqual([])
  expect((await own.getMigrations()).map(({ name }) => name)).toEqual(['0000_first', '0001_tasks'])
})

describe('the name of the role', () => {
  let database: Awaited<ReturnType<typeof openEmptyDatabase>>
  beforeAll(async () => {
    database = await openEmptyDatabase()
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each(['App', 'app-user', '1app', 'app"; drop table tasks; --', '', 'a'.repeat(64)])(
    'cannot be %j',
    async role => {
      await expect(async () => migrateToLatest(database.admin, { role })).rejects.toThrow(/role/)
      expect(await findObjects(database.admin)).toEqual(nothing)
    },
  )
})
