import { type Kysely, sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { DatabaseUnavailableError } from '../../../db/errors.js'
import type { Database } from '../../../db/index.js'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'

type Handle = Kysely<Database>

const rowsOf = (handle: Handle) =>
  handle.selectFrom(sql<{ n: number }>`generate_series(1, 1000)`.as<'n'>('n')).selectAll().stream(2)
const insert = (handle: Handle) =>
  handle.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'never' }).execute()
const tasksOf = (handle: Handle) => handle.selectFrom('tasks').select('title').execute()

/** Kysely runs the statements of a transaction one after the other, so a statement awaited in the loop waits forever. */
const holders: [name: string, run: (handle: Handle, started: () => void) => Promise<unknown>][] = [
  ['alone', (handle, started) => rowsOf(handle).next().then(started)],
  [
    'with a statement awaited in its loop',
    (handle, started) =>
      handle.transaction().execute(async trx => {
        for await (const _ of rowsOf(trx)) {
          started()
          await tasksOf(trx)
        }
      }),
  ],
]

describe.each(kindsOfThisRun)('a stream that is left open on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  let alice: Handle
  beforeAll(async () => {
    database = await openTestDatabase(kind, { poolMax: 1 })
    alice = database.forUser('alice')
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test('by a transaction that returns ends with it, and its reader gets an error', async () => {
    const streams: ReturnType<typeof rowsOf>[] = []
    await alice.transaction().execute(async trx => {
      await insert(trx)
      const stream = rowsOf(trx)
      await stream.next()
      await stream.next()
      streams.push(stream)
    })
    expect(await tasksOf(alice)).toEqual([{ title: 'never' }])
    await alice.deleteFrom('tasks').execute()
    for (const stream of streams) await expect(stream.next()).rejects.toThrow('has ended')
  })

  test('by a transaction that throws is rolled back with it', async () => {
    const call = alice.transaction().execute(async trx => {
      await insert(trx)
      await rowsOf(trx).next()
      throw new Error('Changed my mind')
    })
    await expect(call).rejects.toThrow('Changed my mind')
    expect(await tasksOf(alice)).toEqual([])
  })

  test('in a transaction does no harm if it is left before the end', async () => {
    await alice.transaction().execute(async trx => {
      for await (const _ of rowsOf(trx)) break
      expect(await tasksOf(trx)).toEqual([])
    })
    expect(await tasksOf(alice)).toEqual([])
  })

  test.each(holders)('%s loses its connection when its caller aborts', async (_, run) => {
    const gone = new AbortController()
    await new Promise<void>((done, fail) => {
      run(database.forUser('alice', { signal: gone.signal }), done).catch(fail)
    })
    gone.abort()
    expect(await tasksOf(database.forUser('bob'))).toEqual([])
  })
})

describe('a stream that nobody reads on', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test.each(holders)('%s, loses its connection after the time limit and five seconds', async (_, run) => {
    await using database = await openTestDatabase('PostgreSQL', { poolMax: 1, statementTimeout: 1 })
    await new Promise<void>((done, fail) => {
      run(database.forUser('alice'), done).catch(fail)
    })
    await vi.advanceTimersByTimeAsync(5_999)
    expect(database.pool()).toMatchObject({ total: 1, idle: 0 })
    await vi.advanceTimersByTimeAsync(1)
    expect(database.pool()).toMatchObject({ total: 0 })
    expect(await tasksOf(database.forUser('bob'))).toEqual([])
  })

  test('is an outage for a reader who leaves it after that, and an error for one who reads on', async () => {
    await using database = await openTestDatabase('PostgreSQL', { poolMax: 2, statementTimeout: 1 })
    const read = async () => {
      for await (const _ of rowsOf(database.forUser('alice'))) await vi.advanceTimersByTimeAsync(6_000)
    }
    await expect(read()).rejects.toThrow('has ended')
    const leave = async () => {
      for await (const _ of rowsOf(database.forUser('alice'))) {
        await vi.advanceTimersByTimeAsync(6_000)
        break
      }
    }
    await expect(leave()).rejects.toThrow(DatabaseUnavailableError)
  })
})

test('an aborted stream in a transaction that needs cleaning does not keep its connection', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1, connectTimeout: 60 })
  const gone = new AbortController()
  const alice = database.forUser('alice', { signal: gone.signal })
  await sql`insert into tasks (user_id, id, title) select 'alice', gen_random_uuid(), 'x' from generate_series(1, 5)`.execute(
    database.admin,
  )
  const work = alice.transaction().execute(async trx => {
    await sql`select pg_sleep(0)`.execute(trx)
    const query = sql<object>`select id, pg_sleep(0.05) from tasks`.compile(trx)
    try {
      for await (const _ of trx.getExecutor().stream(query, 1))
        setImmediate(() => gone.abort(new Error('gone')))
    } catch {}
  })
  work.catch(() => {})
  await new Promise(resolve => setTimeout(resolve, 100))
  // It would have to wait for the time limit and the grace, which are longer than this test may take.
  const { rows } = await sql`select 1 as one`.execute(database.forUser('bob'))
  expect(rows).toEqual([{ one: 1 }])
  await work.catch(() => {})
})
