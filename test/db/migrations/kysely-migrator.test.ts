import { sql } from 'kysely'
import { Migrator, NO_MIGRATIONS } from 'kysely/migration'
import { describe, expect, test } from 'vitest'
import { migrateToLatest, pendingMigrations, protectTable } from '../../../db/index.js'
import { createMigrator } from '../../../db/migrations/kysely-migrator.js'
import { kindsOfThisRun, openEmptyDatabase, openTestDatabase } from '../../parts/database.js'
import { findObjects } from '../../parts/migrate.js'

const all = ['0001_isolation', '0002_tasks']
const [isolation = ''] = all

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
  expect(await findObjects(db)).toEqual({ tasks: false, isolation: false, migrations: false })
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
