import { sql } from 'kysely'
import { Migrator, NO_MIGRATIONS } from 'kysely/migration'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createMigrator,
  migrateToLatest,
  migrations,
  openDatabase,
  pendingMigrations,
  protectTable,
} from '../../../db/index.js'
import { emptyDatabase, kindsOfThisRun, openEmptyDatabase, openTestDatabase } from '../../parts/database.js'

const all = Object.keys(migrations)

async function findObjects(db: Awaited<ReturnType<typeof openEmptyDatabase>>['admin']) {
  const { rows } = await sql`
    select to_regclass('tasks') is not null as tasks, to_regnamespace('trpc_bearer') is not null as schema,
      to_regclass('trpc_bearer_migration') is not null as migrations`.execute(db)
  return rows[0]
}
const nothing = { tasks: false, schema: false, migrations: false }

test('migrateToLatest returns what it ran: everything first, nothing the next time', async () => {
  await using database = await openEmptyDatabase()
  expect(await pendingMigrations(database.admin)).toEqual(all)
  expect(await findObjects(database.admin)).toEqual(nothing)
  expect(await migrateToLatest(database.admin)).toEqual(all)
  expect(await pendingMigrations(database.admin)).toEqual([])
  expect(await migrateToLatest(database.admin)).toEqual([])
})

test('ten connections that migrate one database at once run each migration once', async () => {
  await using empty = await emptyDatabase()
  const databases = await Promise.all(Array.from({ length: 10 }, () => openDatabase({ url: empty.url })))
  try {
    const ran = await Promise.all(databases.map(({ admin: db }) => migrateToLatest(db)))
    expect(ran.flat()).toEqual(all)
    expect(await Promise.all(databases.map(({ admin: db }) => pendingMigrations(db)))).toEqual(
      databases.map(() => []),
    )
  } finally {
    await Promise.all(databases.map(({ close }) => close()))
  }
})

describe.each(kindsOfThisRun)('the migrator on %s', kind => {
  test('goes down, up, and to a name, but not to a missing one', async () => {
    await using database = await openTestDatabase(kind)
    const { admin: db } = database
    const migrator = createMigrator(db)
    const [first = ''] = all
    const entry = (direction: 'Up' | 'Down', migrationName = first) => ({
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
    expect(await findObjects(db)).toMatchObject({ tasks: false, schema: false })
    expect(await migrator.migrateDown()).toEqual({ results: [] })

    expect(await migrator.migrateUp()).toEqual({ results: [entry('Up')] })
    expect((await executed())[0]).toEqual([first, true])
    expect(await migrator.migrateDown()).toEqual({ results: [entry('Down')] })

    expect(await migrator.migrateTo(first)).toEqual({ results: [entry('Up')] })
    expect(await migrator.migrateTo(first)).toEqual({ results: [] })
    expect(await migrator.migrateToLatest()).toEqual({ results: all.slice(1).map(name => entry('Up', name)) })
    expect(await migrator.migrateUp()).toEqual({ results: [] })
    expect(await database.forUser('alice').selectFrom('tasks').selectAll().execute()).toEqual([])

    const { error } = await migrator.migrateTo('9999_missing')
    expect(String(error)).toContain('9999_missing')
    expect(await pendingMigrations(db)).toEqual([])
  })
})

test('a failed migration, alone or ten at once, leaves nothing behind, reports the error, and can run again', async () => {
  await using database = await openEmptyDatabase()
  const { admin: db } = database
  await sql`create table tasks (somebody_elses text)`.execute(db)
  const { error, results } = await createMigrator(db).migrateToLatest()
  expect(error).toMatchObject({ code: '42P07' })
  expect(results).toMatchObject([{ migrationName: all[0], direction: 'Up', status: 'Error' }])
  const ten = Array.from({ length: 10 }, () => migrateToLatest(db))
  for (const one of await Promise.allSettled(ten))
    expect(one).toMatchObject({ status: 'rejected', reason: { code: '42P07' } })
  expect(await findObjects(db)).toEqual({ ...nothing, tasks: true })
  await sql`drop table tasks`.execute(db)
  expect(await migrateToLatest(db)).toEqual(all)
})

test('a migration of a newer version is not undone, and the error names it', async () => {
  await using database = await openEmptyDatabase()
  await migrateToLatest(database.admin)
  await sql`insert into trpc_bearer_migration values ('9999_future', '2099-01-01T00:00:00.000Z')`.execute(
    database.admin,
  )
  const { error } = await createMigrator(database.admin).migrateDown()
  expect(String(error)).toContain('9999_future')
  expect(await findObjects(database.admin)).toEqual({ tasks: true, schema: true, migrations: true })
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
  expect(await migrateToLatest(db)).toEqual(all)
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
