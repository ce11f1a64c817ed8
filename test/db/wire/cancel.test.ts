import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { startPostgresProxy } from '../../parts/postgres-proxy.js'
import { abortOnceRunning, sleep, sleepersIn } from '../../parts/sleepers.js'
import { startTlsPostgres } from '../../parts/tls-postgres.js'
import { waitFor } from '../../parts/wait-for.js'

type Handle = ReturnType<OpenDatabase['forUser']>

describe('when a caller aborts, on PostgreSQL', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase('PostgreSQL')
  })
  afterAll(() => database[Symbol.asyncDispose]())

  const sleepers = () => sleepersIn(database)

  test('the running statement is cancelled, and the call rejects at once', async () => {
    const gone = new AbortController()
    const call = sql`select pg_sleep(60)`.execute(database.forUser('alice', { signal: gone.signal }))
    const refused = expect(call).rejects.toThrow('gone')
    await abortOnceRunning(database, gone)
    await refused
    await waitFor(async () => expect(await sleepers()).toBe(0), { timeout: 5_000 })
  })

  test('the transaction is rolled back', async () => {
    const gone = new AbortController()
    const alice = database.forUser('alice', { signal: gone.signal })
    const call = alice.transaction().execute(async trx => {
      await trx.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'never' }).execute()
      await sql`select pg_sleep(60)`.execute(trx)
    })
    const refused = expect(call).rejects.toThrow('gone')
    await abortOnceRunning(database, gone)
    await refused
    await waitFor(async () => expect(await sleepers()).toBe(0), { timeout: 5_000 })
    expect(await database.admin.selectFrom('tasks').selectAll().execute()).toEqual([])
    await waitFor(() => expect(database.pool()).toMatchObject({ waiting: 0 }))
  })

  test.each<[string, (handle: Handle) => Promise<unknown>]>([
    ['a statement', handle => sql`select pg_sleep(0.03)`.execute(handle)],
    [
      'a statement that needs cleaning',
      handle => sql`select pg_sleep(0.03), pg_advisory_lock(1)`.execute(handle),
    ],
    ['a transaction', handle => handle.transaction().execute(trx => sql`select pg_sleep(0.03)`.execute(trx))],
  ])('the connection of %s that ends soon is used again, clean', async (_, run) => {
    await using own = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    const pidOf = async () =>
      (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(own.forUser('bob'))).rows
    const before = await pidOf()
    for (let n = 0; n < 3; n++) {
      const gone = new AbortController()
      const call = run(own.forUser('alice', { signal: gone.signal }))
      const refused = expect(call).rejects.toThrow('gone')
      setTimeout(() => gone.abort(new Error('gone')), 10)
      await refused
      expect(await pidOf()).toEqual(before)
    }
    const { rows } =
      await sql`select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`.execute(
        own.admin,
      )
    expect(rows).toEqual([])
  })

  test('an aborted signal refuses a statement before it is sent', async () => {
    const alice = database.forUser('alice', { signal: AbortSignal.abort(new Error('gone before')) })
    await expect(alice.selectFrom('tasks').selectAll().execute()).rejects.toThrow('gone before')
  })

  test('a call that waits for a connection rejects at once and takes none', async () => {
    await using narrow = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    const gone = new AbortController()
    const other = sleep(narrow.forUser('bob'), 0.3).execute()
    await waitFor(() => expect(narrow.pool()).toMatchObject({ total: 1, idle: 0 }))
    const alice = narrow.forUser('alice', { signal: gone.signal })
    const calls = [sleep(alice).execute(), alice.transaction().execute(trx => sleep(trx).execute())]
    const refused = calls.map(call => expect(call).rejects.toThrow('gone'))
    await waitFor(() => expect(narrow.pool()).toMatchObject({ waiting: 2 }))
    gone.abort(new Error('gone'))
    await Promise.all(refused)
    expect(narrow.pool()).toMatchObject({ total: 1, idle: 0 })
    await other
    await waitFor(() => expect(narrow.pool()).toEqual({ total: 1, idle: 1, waiting: 0 }))
    expect(await narrow.forUser('bob').selectFrom('tasks').selectAll().execute()).toEqual([])
  })

  test('the next caller on the connection has their own identity', async () => {
    for (let round = 0; round < 10; round++) {
      const gone = new AbortController()
      const call = sql`select pg_sleep(0.01)`.execute(database.forUser('alice', { signal: gone.signal }))
      setTimeout(() => gone.abort(new Error('gone')), round)
      await call.catch(() => {})
      const { rows } = await sql`select trpc_bearer.user_id() as id`.execute(database.forUser(`bob-${round}`))
      expect(rows).toEqual([{ id: `bob-${round}` }])
    }
  })

  test('a stream that waits for its next rows is cancelled', async () => {
    const gone = new AbortController()
    const rows = sleep(database.forUser('alice', { signal: gone.signal })).stream(1)
    const refused = expect(rows.next()).rejects.toThrow('gone')
    await abortOnceRunning(database, gone)
    await refused
    await waitFor(async () => expect(await sleepers()).toBe(0), { timeout: 5_000 })
  })
})

if (process.env.LONG_TESTS) {
  describe('a cancel request that arrives before its statement is repeated', () => {
    const long = sql<number>`(select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b)`
    test.concurrent.each<[string, (alice: Handle, hold: () => void) => Promise<unknown>]>([
      [
        'alone',
        async (alice, hold) => {
          hold()
          await alice.selectNoFrom(long.as('n')).execute()
        },
      ],
      [
        'in a transaction',
        (alice, hold) =>
          alice.transaction().execute(async trx => {
            hold()
            await trx.selectNoFrom(long.as('n')).execute()
          }),
      ],
      [
        'in a stream',
        async (alice, hold) => {
          hold()
          await alice.selectNoFrom(long.as('n')).stream(1).next()
        },
      ],
    ])('%s', async (_, run) => {
      await using under = await openTestDatabase('PostgreSQL')
      await using proxy = await startPostgresProxy(under.url ?? '')
      const database = await openDatabase({ url: proxy.url, poolMax: 1 })
      try {
        await database.forUser('alice').selectFrom('tasks').select('id').execute()
        const gone = new AbortController()
        const call = run(database.forUser('alice', { signal: gone.signal }), proxy.fallSilent)
        const refused = expect(call).rejects.toThrow('gone')
        await waitFor(() => expect(proxy.heldBack).toBeGreaterThan(0), { timeout: 5_000 })
        gone.abort(new Error('gone'))
        await refused
        await waitFor(() => expect(proxy.cancels).toBeGreaterThan(0), { timeout: 5_000 })
        proxy.letGo()
        await waitFor(() => expect(database.pool()).toMatchObject({ total: 0 }), { timeout: 5_000 })
        const running = sql`
        select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
          and state = 'active' and query like '%generate_series%'`
        await waitFor(async () => expect((await running.execute(under.admin)).rows).toEqual([]), {
          timeout: 5_000,
        })
      } finally {
        await database.close()
      }
    })
  })
}

if (process.env.LONG_TESTS) {
  test('over TLS the cancel request is encrypted too, and the statement is cancelled', async () => {
    await using under = await openTestDatabase('PostgreSQL')
    await using server = await startTlsPostgres(under.url ?? '')
    const database = await openDatabase({
      url: server.url,
      poolMax: 1,
      poolOptions: { ssl: { ca: server.ca } },
    })
    const gone = new AbortController()
    const call = sql`select pg_sleep(60)`.execute(database.forUser('alice', { signal: gone.signal }))
    const refused = expect(call).rejects.toThrow('gone')
    await abortOnceRunning(under, gone)
    await refused
    await waitFor(async () => expect(await sleepersIn(under)).toBe(0), { timeout: 5_000 })
    expect(server.cancels.plain).toBe(0)
    expect(server.cancels.encrypted).toBeGreaterThan(0)
    await database.close()
  })

  test('on the embedded database an abort while the process is busy costs the next caller nothing', async () => {
    await using database = await openTestDatabase('embedded', { connectTimeout: 1 })
    const gone = new AbortController()
    const call = sql`select count(*) from generate_series(1, 200000)`.execute(
      database.forUser('alice', { signal: gone.signal }),
    )
    await new Promise(setImmediate)
    gone.abort(new Error('gone'))
    const end = Date.now() + 300
    while (Date.now() < end);
    await expect(call).rejects.toThrow('gone')
    expect(await database.forUser('bob').selectFrom('tasks').selectAll().execute()).toEqual([])
  })

  test('on the embedded database the call rejects at once, and the connection is usable after the statement ends', async () => {
    await using database = await openTestDatabase('embedded')
    const gone = new AbortController()
    const call = sql`select count(*) from generate_series(1, 3000000)`.execute(
      database.forUser('alice', { signal: gone.signal }),
    )
    setTimeout(() => gone.abort(new Error('gone')), 1)
    await expect(call).rejects.toThrow('gone')
    const { rows } = await sql`select trpc_bearer.user_id() as id`.execute(database.forUser('bob'))
    expect(rows).toEqual([{ id: 'bob' }])
  })
}
