import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { startPostgresProxy } from '../../parts/postgres-proxy.js'
import { someOf } from '../../parts/some-of.js'
import { waitFor } from '../../parts/wait-for.js'

type Handle = ReturnType<OpenDatabase['forUser']>

const statementTimeout = 1
const limit = statementTimeout * 1_000
const grace = 5_000

const titles = (handle: Handle) => handle.selectFrom('tasks').select('title').execute()
const pidOf = async (handle: Handle) =>
  (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(handle)).rows[0]?.pid

// The real time limit is longer than a test should last.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
})

describe('a server that falls silent', () => {
  const outage = { name: 'DatabaseUnavailableError' }

  test.each(
    someOf<[string, (alice: Handle, fallSilent: () => void) => Promise<unknown>, object]>(
      [
        [
          'before a statement',
          (alice, fallSilent) => {
            fallSilent()
            return titles(alice)
          },
          outage,
        ],
        [
          'in a transaction',
          (alice, fallSilent) =>
            alice.transaction().execute(trx => {
              fallSilent()
              return titles(trx)
            }),
          outage,
        ],
        [
          'in a stream',
          async (alice, fallSilent) => {
            for await (const _ of alice.selectNoFrom(sql`generate_series(1, 3)`.as('n')).stream(1))
              fallSilent()
          },
          outage,
        ],
        [
          'at the end of a transaction',
          (alice, fallSilent) =>
            alice.transaction().execute(async trx => {
              await titles(trx)
              fallSilent()
            }),
          outage,
        ],
        [
          'before the cleaning of a transaction',
          (alice, fallSilent) =>
            alice.transaction().execute(async trx => {
              await sql`select pg_advisory_lock(1)`.execute(trx)
              fallSilent()
            }),
          outage,
        ],
        [
          'before the rollback of a transaction',
          (alice, fallSilent) =>
            alice.transaction().execute(async trx => {
              await titles(trx)
              fallSilent()
              throw new Error('Changed my mind')
            }),
          { message: 'Changed my mind' },
        ],
      ],
      2,
    ),
  )(
    '%s gets a cancel request after the time limit and five seconds, and its connection is not reused',
    async (_, run, failure) => {
      await using under = await openTestDatabase('PostgreSQL')
      await using proxy = await startPostgresProxy(under.url ?? '')
      const database = await openDatabase({ url: proxy.url, poolMax: 1, statementTimeout })
      try {
        const pid = await pidOf(database.forUser('alice'))
        const failed = vi.fn()
        const call = run(database.forUser('alice'), proxy.fallSilent).catch(failed)
        await waitFor(() => expect(proxy.heldBack).toBeGreaterThan(0), { timeout: 4_000 })
        await vi.advanceTimersByTimeAsync(limit)
        expect(failed).not.toHaveBeenCalled()
        await vi.advanceTimersByTimeAsync(grace)
        await call
        expect(failed).toHaveBeenCalledExactlyOnceWith(expect.objectContaining(failure))
        await waitFor(() => expect(proxy.cancels).toBe(1), { timeout: 5_000 })
        expect(await pidOf(database.forUser('bob'))).not.toBe(pid)
      } finally {
        await database.close()
      }
    },
  )
})

test('a statement that has removed its own time limit is cancelled all the same', async () => {
  await using admin = await openTestDatabase('PostgreSQL')
  const database = await openDatabase({ url: admin.url ?? undefined, poolMax: 1, statementTimeout })
  const becomes = (sleepers: number) =>
    waitFor(
      async () => {
        const { rows } = await sql`
          select count(*)::int as sleepers from pg_stat_activity
          where datname = current_database() and wait_event = 'PgSleep'`.execute(admin.admin)
        expect(rows).toEqual([{ sleepers }])
      },
      { timeout: 5_000 },
    )
  try {
    const failed = vi.fn()
    const call = database
      .forUser('alice')
      .transaction()
      .execute(async trx => {
        await sql`select set_config('statement_timeout', '0', true)`.execute(trx)
        await sql`select pg_sleep(60)`.execute(trx)
      })
      .catch(failed)
    await becomes(1)
    await vi.advanceTimersByTimeAsync(limit + grace)
    await call
    expect(failed).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ name: 'DatabaseUnavailableError' }),
    )
    await becomes(0)
  } finally {
    await database.close()
  }
})
