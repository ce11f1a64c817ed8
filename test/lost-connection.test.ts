import { sql } from 'kysely'
import { describe, expect, test, vi } from 'vitest'
import type { OpenDatabase } from '../db/index.js'
import { isDatabaseUnavailable } from '../db/unavailable.js'
import { openTestDatabase } from './parts/database.js'

type Handle = OpenDatabase['db']

const pidOf = async (handle: Handle) =>
  (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(handle)).rows[0]?.pid
const kill = (handle: Handle, pid = 0) => sql`select pg_terminate_backend(${pid}::int)`.execute(handle)
const sleep = (handle: Handle) => sql`select pg_sleep(60)`.execute(handle)

async function expectAnswers({ forUser }: Pick<OpenDatabase, 'forUser'>) {
  const alice = forUser('alice')
  const look = (handle: Handle) => handle.selectFrom('tasks').selectAll().execute()
  expect([await look(alice), await alice.transaction().execute(look)]).toEqual([[], []])
}

describe('a connection that PostgreSQL ends', () => {
  test.each<[string, (alice: Handle) => Promise<unknown>]>([
    ['the statement', sleep],
    ['the transaction', alice => alice.transaction().execute(sleep)],
  ])('is an outage for %s that was under way, and the next one is answered', async (_, start) => {
    await using database = await openTestDatabase('PostgreSQL')
    const failure = start(database.forUser('alice')).catch(error => error)
    const pid = await vi.waitFor(async () => {
      const { rows } = await sql<{ pid: number }>`
        select pid from pg_stat_activity
        where datname = current_database() and query = 'select pg_sleep(60)' and state = 'active'
      `.execute(database.db)
      expect(rows).toHaveLength(1)
      return rows[0]?.pid
    })
    await kill(database.db, pid)
    expect(isDatabaseUnavailable(await failure)).toBe(true)
    await expectAnswers(database)
  })

  test('is an outage for the rest of a transaction', async () => {
    await using database = await openTestDatabase('PostgreSQL')
    const call = database
      .forUser('alice')
      .transaction()
      .execute(async trx => {
        await kill(database.db, await pidOf(trx))
        await trx.selectFrom('tasks').selectAll().execute()
      })
    expect(isDatabaseUnavailable(await call.catch(error => error))).toBe(true)
    await expectAnswers(database)
  })

  test('while idle ends nothing, and the next statement gets another', async () => {
    await using admin = await openTestDatabase('PostgreSQL')
    await using database = await openTestDatabase('PostgreSQL')
    const pid = await pidOf(database.db)
    await vi.waitFor(() => expect(database.pool()).toEqual({ total: 1, idle: 1, waiting: 0 }))
    await kill(admin.db, pid)
    await vi.waitFor(() => expect(database.pool().total).toBe(0))
    await expectAnswers(database)
    expect(await pidOf(database.db)).not.toBe(pid)
  })
})
