import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DatabaseUnavailableError } from '../../../db/errors.js'
import {
  migrateTasks,
  migrateToLatest,
  openDatabase,
  pendingMigrations,
  protectTable,
} from '../../../db/index.js'
import { emptyDatabase, openEmptyDatabase, openTestDatabase } from '../../parts/database.js'
import { findObjects } from '../../parts/migrate.js'

const all = ['0001_isolation', '0002_tasks']
const [isolation = ''] = all

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
