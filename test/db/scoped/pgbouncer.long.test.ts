import { AbortedTransactionError, type Kysely, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { type Database, openDatabase } from '../../../db/index.js'
import { emptyDatabase } from '../../parts/database.js'
import { migrateAll } from '../../parts/migrate.js'
import { startPgBouncer } from '../../parts/pgbouncer.js'
import { startPostgresProxy } from '../../parts/postgres-proxy.js'
import { startTypeScript } from '../../parts/program.js'
import { runSql } from '../../parts/run-sql.js'
import { waitFor } from '../../parts/wait-for.js'

let bouncer: Awaited<ReturnType<typeof startPgBouncer>>
beforeAll(async () => {
  bouncer = await startPgBouncer()
})
afterAll(() => bouncer[Symbol.asyncDispose]())

test.each([
  ['without prepared statements', false],
  ['with the default options', true],
])(
  'thousands of statements of many users through few sessions, %s: none sees a row of another',
  async (_, preparedStatements) => {
    await using empty = await emptyDatabase()
    const url = bouncer.urlOf(empty.url)
    const onProblem = vi.fn()
    const database = await openDatabase({ url, poolMax: 20, preparedStatements, onProblem })
    try {
      await migrateAll(database.admin)
      const users = Array.from({ length: 50 }, (_, n) => `user-${n}`)
      const strange: string[] = []
      const act = async (user: string, n: number) => {
        const handle = database.forUser(user)
        if (n % 3 === 0)
          await handle.insertInto('tasks').values({ id: crypto.randomUUID(), title: user }).execute()
        else if (n % 7 === 0) await sql`select set_config('app.user_id', 'user-0', false)`.execute(handle)
        else if (n % 11 === 0) await sql`select 1 / 0`.execute(handle).catch(() => {})
        const rows = await (n % 5 === 0
          ? handle
              .transaction()
              .execute(trx => trx.selectFrom('tasks').select(['user_id', 'title']).execute())
          : handle.selectFrom('tasks').select(['user_id', 'title']).execute())
        strange.push(
          ...rows
            .filter(row => row.user_id !== user || row.title !== user)
            .map(row => `${user}: ${row.title}`),
        )
      }
      for (let n = 0; n < 60; n++) await Promise.all(users.map(user => act(user, n)))
      expect(strange).toEqual([])
      const { rows } = await sql<{ rows: number }>`select count(*)::int as rows from tasks`.execute(
        database.admin,
      )
      expect(rows).toEqual([{ rows: 50 * 20 }])
      expect(onProblem.mock.calls.map(([problem]) => problem)).toEqual(
        preparedStatements ? [expect.stringContaining('a pooler does not know them')] : [],
      )
    } finally {
      await database.close()
    }
  },
  120_000,
)

describe('what a caller leaves in a session meets nobody, though all of them share two', () => {
  const readOnly = sql<string>`set_config('default_transaction_read_only', 'on', false)`
  const lockAndFail = sql`select pg_advisory_lock(42), 1 / (random() * 0)::int`
  const ways: [
    name: string,
    leave: (alice: Kysely<Database>, aborted: Kysely<Database>) => Promise<unknown>,
  ][] = [
    ['by a statement', alice => alice.selectNoFrom(readOnly.as('x')).execute()],
    [
      'by a stream',
      async alice => {
        for await (const _ of alice.selectNoFrom(readOnly.as('x')).stream());
      },
    ],
    [
      'by a stream that is left in the middle',
      async alice => {
        const numbers = sql<{ n: number }>`generate_series(1, 1000)`.as<'n'>('n')
        for await (const _ of alice.selectFrom(numbers).select(readOnly.as('x')).stream(2)) break
      },
    ],
    [
      'by a statement that fails',
      alice => expect(lockAndFail.execute(alice)).rejects.toThrow('division by zero'),
    ],
    [
      'by a transaction that goes on after an error',
      alice =>
        alice
          .transaction()
          .execute(async trx => {
            await sql`select pg_advisory_lock(42)`.execute(trx)
            await sql`select 1 / 0`.execute(trx).catch(() => {})
          })
          .catch(error => expect(error).toBeInstanceOf(AbortedTransactionError)),
    ],
    [
      'by a statement that is aborted',
      (_, aborted) => sql`select pg_sleep(0.005), pg_advisory_lock(42)`.execute(aborted).catch(() => {}),
    ],
  ]

  test.each(ways)('%s', async (_, leave) => {
    await using empty = await emptyDatabase()
    await using narrow = await startPgBouncer({ poolSize: 2 })
    const url = narrow.urlOf(empty.url)
    const database = await openDatabase({ url, poolMax: 8, preparedStatements: false })
    try {
      await migrateAll(database.admin)
      let isOver = false
      let writes = 0
      const write = async () => {
        while (!isOver) {
          await database
            .forUser('bob')
            .insertInto('tasks')
            .values({ id: crypto.randomUUID(), title: 'x' })
            .execute()
          writes++
        }
      }
      const writing = Promise.all([write(), write(), write(), write()])
      try {
        for (let n = 0; n < 100; n++) {
          const gone = new AbortController()
          const timer = setTimeout(() => gone.abort(), n % 8)
          const leaving = leave(database.forUser('alice'), database.forUser('alice', gone))
          await Promise.race([leaving, writing])
          clearTimeout(timer)
        }
      } finally {
        isOver = true
        await writing
      }
      expect(writes).toBeGreaterThan(0)
      const { rows } = await sql`
        select from pg_locks where locktype = 'advisory'
          and database = (select oid from pg_database where datname = current_database())`.execute(
        database.admin,
      )
      expect(rows).toEqual([])
    } finally {
      await database.close()
    }
  })
})

test('a temporary table that a caller makes meets nobody in another process, though both share a session', async () => {
  await using empty = await emptyDatabase()
  await using narrow = await startPgBouncer({ poolSize: 1 })
  const url = narrow.urlOf(empty.url)
  const [hers, his] = [
    await openDatabase({ url, poolMax: 1, preparedStatements: false }),
    await openDatabase({ url, poolMax: 1, preparedStatements: false }),
  ]
  try {
    await migrateAll(hers.admin)
    await hers
      .forUser('alice')
      .insertInto('tasks')
      .values({ id: crypto.randomUUID(), title: 'hers' })
      .execute()
    await his.forUser('bob').insertInto('tasks').values({ id: crypto.randomUUID(), title: 'his' }).execute()
    for (const list of ['*, 1 insert into temp tasks', '*, 1 merge into temporary table tasks']) {
      await sql.raw(`select ${list} from public.tasks`).execute(hers.forUser('alice'))
      const bob = his.forUser('bob')
      expect(await bob.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'his' }])
      const { rows } =
        await sql`select relname from pg_class where relnamespace = pg_my_temp_schema()`.execute(bob)
      expect(rows).toEqual([])
    }
  } finally {
    await hers.close()
    await his.close()
  }
})

test('a statement whose request to cancel has overtaken it is cancelled all the same', async () => {
  await using empty = await emptyDatabase()
  await using proxy = await startPostgresProxy(bouncer.urlOf(empty.url))
  const database = await openDatabase({ url: proxy.url, statementTimeout: 60, preparedStatements: false })
  const sleepers = () =>
    runSql(
      empty.url,
      `select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`,
    )
  try {
    await migrateAll(database.admin)
    for (let n = 0; n < 10; n++) {
      const gone = new AbortController()
      const heldBack = proxy.heldBack
      const call = database
        .forUser('alice', { signal: gone.signal })
        .transaction()
        .execute(async trx => {
          proxy.fallSilent()
          await sql`select pg_sleep(30)`.execute(trx)
        })
      const refused = expect(call).rejects.toThrow('gone')
      await waitFor(() => expect(proxy.heldBack).toBeGreaterThan(heldBack), { timeout: 5_000 })
      const { cancels } = proxy
      gone.abort(new Error('gone'))
      await refused
      await waitFor(() => expect(proxy.cancels).toBeGreaterThan(cancels), { timeout: 5_000 })
      proxy.letGo()
      await waitFor(
        () => expect(database.pool()).toMatchObject({ total: database.pool().idle, waiting: 0 }),
        { timeout: 5_000 },
      )
      expect(await sleepers()).toEqual([])
      expect(await database.forUser('bob').selectFrom('tasks').select('id').execute()).toEqual([])
    }
  } finally {
    await database.close()
  }
})

test('the script that makes an index concurrently is refused: it needs a session of its own', async () => {
  const env = { DATABASE_URL: bouncer.urlOf(inject('postgresUrl')) }
  await using script = startTypeScript('examples/concurrent-index/main.ts', env)
  const { code, stderr } = await script.ended
  expect([code, stderr]).toEqual([1, expect.stringContaining('unsupported startup parameter')])
})
