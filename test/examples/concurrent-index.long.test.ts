import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { up } from '../../examples/concurrent-index/migration.js'
import { openTestDatabase } from '../parts/database.js'
import { startTypeScript } from '../parts/program.js'
import { waitFor } from '../parts/wait-for.js'

type TestDatabase = Awaited<ReturnType<typeof openTestDatabase>>

const runScript = ({ url }: TestDatabase) =>
  startTypeScript('examples/concurrent-index/main.ts', { DATABASE_URL: url ?? '' })

async function indexOf({ admin: db }: TestDatabase) {
  const { rows } = await sql<{ oid: number; valid: boolean }>`
    select indexrelid::int as oid, indisvalid as valid from pg_index where indexrelid = to_regclass('tasks_by_due')`.execute(
    db,
  )
  return rows[0]
}

/** A transaction that has written and stays open, until the scope ends. */
async function openWriter({ admin: db }: TestDatabase) {
  const trx = await db.startTransaction().execute()
  await trx.insertInto('tasks').values({ user_id: 'ann', id: crypto.randomUUID(), title: 'open' }).execute()
  const commit = async () => {
    if (!trx.isCommitted) await trx.commit().execute()
  }
  return { commit, [Symbol.asyncDispose]: commit }
}

async function write({ forUser }: TestDatabase) {
  const task = () => ({ id: crypto.randomUUID(), title: 'x' })
  for (let n = 0; n < 20; n++) await forUser('ben').insertInto('tasks').values(task()).execute()
}

/** The session that makes the index, once it waits for the open writer. */
const builderOf = ({ admin: db }: TestDatabase) =>
  waitFor(
    async () => {
      const { rows } = await sql<{ pid: number }>`
        select pid from pg_stat_activity
        where datname = current_database() and query ~ '^(create|drop) index concurrently' and wait_event_type = 'Lock'`.execute(
        db,
      )
      expect(rows).toHaveLength(1)
      return rows[0]?.pid
    },
    { timeout: 15_000, interval: 50 },
  )

test('an index on a big table is made while others write, in the place of one that failed, and once', async () => {
  await using database = await openTestDatabase('PostgreSQL', { statementTimeout: 1 })
  {
    await using _writer = await openWriter(database)
    await using script = runScript(database)
    const pid = await builderOf(database)
    await write(database)
    await sql`select pg_cancel_backend(${pid})`.execute(database.admin)
    expect(await script.ended).toMatchObject({ code: 1 })
  }
  const failed = await indexOf(database)
  expect(failed).toMatchObject({ valid: false })
  await expect(up(database.admin)).rejects.toThrow('"tasks_by_due" already exists')

  await using writer = await openWriter(database)
  await using script = runScript(database)
  await builderOf(database)
  await write(database)
  await using second = runScript(database)
  expect((await second.ended).stderr).toContain('Another process is making this index.')
  await writer.commit()
  expect(await script.ended).toMatchObject({ code: 0 })
  const made = await indexOf(database)
  expect(made).toMatchObject({ valid: true })
  expect(made?.oid).not.toBe(failed?.oid)

  await using again = runScript(database)
  expect(await again.ended).toMatchObject({ code: 0 })
  expect(await indexOf(database)).toEqual(made)
})

test.each(['', 'host=db'])('without a URL (%j) it says in one line what to set', async DATABASE_URL => {
  await using script = startTypeScript('examples/concurrent-index/main.ts', { DATABASE_URL })
  expect(await script.ended).toEqual({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^Set MIGRATION_DATABASE_URL: .*\n$/),
  })
})

test('the migration after it waits for no writer, and makes the index where there is none', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await up(database.admin)
  const made = await indexOf(database)
  expect(made).toMatchObject({ valid: true })
  await using _writer = await openWriter(database)
  await database.admin.transaction().execute(async trx => {
    await sql`set local lock_timeout = 100`.execute(trx)
    await up(trx)
  })
  expect(await indexOf(database)).toEqual(made)
})
