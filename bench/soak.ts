import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { z } from 'zod'
import { bearerAuth, createClient } from '../client/index.js'
import {
  appRouter,
  createNodeHandler,
  createVerifier,
  mergeRouters,
  protectedProcedure,
  router,
} from '../server/index.js'
import { seconds } from '../test/parts/clock.js'
import { makeKey, startIssuer } from '../test/parts/issuer.js'
import { listen } from '../test/parts/listen.js'
import { benchDatabase, requireDatabaseUrl } from './bench-database.js'

/**
 * Prints heap, handles and connections before and after ten minutes of random calls: each with another user, token and often another
 * statement, many of them wrong, failing or aborted. Server and clients are one process. MINUTES can be set.
 * DATABASE_URL is a PostgreSQL over TCP whose login may create databases.
 */
const { MINUTES = '10' } = process.env
const { gc } = globalThis
if (gc === undefined) throw new Error('Start it with node --expose-gc, as npm run bench:soak does.')

const anyRow = z.object({ marker: z.string(), rows: z.number() })
const trouble = router({
  text: protectedProcedure
    .input(anyRow)
    .query(({ ctx, input }) =>
      sql.raw(`select '${input.marker}' as marker, ${input.rows} as rows`).execute(ctx.db),
    ),
  insert: protectedProcedure.input(anyRow).mutation(({ ctx, input }) => {
    const rows = Array.from({ length: input.rows }, () => ({ id: crypto.randomUUID(), title: input.marker }))
    return ctx.db.insertInto('tasks').values(rows).returning('id').execute()
  }),
  slow: protectedProcedure.query(({ ctx }) => sql`select pg_sleep(0.05)`.execute(ctx.db)),
  fail: protectedProcedure.query(({ ctx }) => sql`select 1 / (random() * 0)::int`.execute(ctx.db)),
  rollBack: protectedProcedure.mutation(({ ctx }) =>
    ctx.db.transaction().execute(async trx => {
      await trx.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'rolled back' }).execute()
      throw new Error('Rolled back.')
    }),
  ),
  leave: protectedProcedure.query(({ ctx }) =>
    sql`select set_config('app.left', 'x', false), pg_advisory_lock(42)`.execute(ctx.db),
  ),
  stream: protectedProcedure.input(anyRow).query(async ({ ctx, input }) => {
    let read = 0
    const rows = sql`select generate_series(1, 1000)`.$castTo<{ generate_series: number }>()
    for await (const _ of ctx.db.selectFrom(rows.as('numbers')).selectAll().stream(10))
      if (++read > input.rows) break
    return read
  }),
  count: protectedProcedure.subscription(async function* ({ signal }) {
    for (let n = 0; !signal?.aborted; n++) {
      yield n
      await sleep(5)
    }
  }),
})
const whole = mergeRouters(appRouter, router({ trouble }))

await using database = await benchDatabase(requireDatabaseUrl(), { poolMax: 5 })
const [known, unknown] = await Promise.all([makeKey('ES256'), makeKey('ES256')])
await using issuer = await startIssuer({ keys: [known] })
const verifier = createVerifier({ issuer: issuer.url, audience: issuer.url, onProblem: () => {} })
const handler = createNodeHandler({ verifier, database, router: whole, onError: () => {} })
await using host = await listen(createServer(handler))
const api = `${host.url}/trpc`

const tokens: (() => Promise<string> | string)[] = [
  () => issuer.tokenFor(crypto.randomUUID()),
  () => issuer.tokenFor(crypto.randomUUID(), { claims: { email: 'somebody@example.com' } }),
  () => issuer.tokenFor(crypto.randomUUID(), { claims: { exp: seconds() - 60 } }),
  () => unknown.sign(issuer.claims(), { kid: crypto.randomUUID() }),
  () => `${crypto.randomUUID()}.x.y`,
]

const anyOf = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T
const marker = () => crypto.randomUUID()
type Client = ReturnType<typeof createClient<typeof whole>>
type Call = (client: Client, options: { signal?: AbortSignal }) => Promise<unknown>

const calls: Call[] = [
  (client, options) => client.me.query(undefined, options),
  (client, options) => client.tasks.list.query({ search: marker() }, options),
  (client, options) => client.tasks.create.mutate({ title: marker() }, options),
  (client, options) => client.tasks.get.query({ id: marker() }, options),
  (client, options) => client.tasks.delete.mutate({ id: 'no uuid' }, options),
  (client, options) => client.trouble.text.query({ marker: marker(), rows: 1 }, options),
  (client, options) =>
    client.trouble.insert.mutate({ marker: marker(), rows: 1 + Math.floor(Math.random() * 500) }, options),
  (client, options) => client.trouble.slow.query(undefined, options),
  (client, options) => client.trouble.fail.query(undefined, options),
  (client, options) => client.trouble.rollBack.mutate(undefined, options),
  (client, options) => client.trouble.leave.query(undefined, options),
  (client, options) =>
    client.trouble.stream.query({ marker: '', rows: Math.floor(Math.random() * 100) }, options),
]

const counts = { answered: 0, failed: 0 }

/** One person: a few calls at once, some of which are aborted, and now and then a subscription over plain fetch. */
async function visit() {
  const auth = bearerAuth({ cache: true, getToken: async () => anyOf(tokens)(), onSignedOut: () => {} })
  const client = createClient<typeof whole>({ url: api, auth })
  const call = () => {
    const signal = Math.random() < 0.3 ? AbortSignal.timeout(Math.floor(Math.random() * 20)) : undefined
    return anyOf(calls)(client, signal ? { signal } : {}).then(
      () => counts.answered++,
      () => counts.failed++,
    )
  }
  await Promise.all(Array.from({ length: 1 + Math.floor(Math.random() * 4) }, call))
  if (Math.random() < 0.1) await subscribe(await anyOf(tokens)())
}

async function subscribe(token: string) {
  const signal = AbortSignal.timeout(Math.floor(Math.random() * 100))
  await fetch(`${api}/trouble.count`, {
    signal,
    headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
  })
    .then(response => response.text())
    .catch(() => counts.failed++)
}

async function visitUntil(end: number) {
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      while (performance.now() < end) await visit()
    }),
  )
}

async function measure() {
  // Timers of the last calls end, and idle sockets close.
  await sleep(10_000)
  gc?.()
  const { heapUsed, external } = process.memoryUsage()
  const { rows } = await sql<{ sessions: number }>`
    select count(*)::int as sessions from pg_stat_activity where datname = current_database()`.execute(
    database.admin,
  )
  return {
    'heap, MB': (heapUsed / 2 ** 20).toFixed(1),
    'external, MB': (external / 2 ** 20).toFixed(1),
    handles: process.getActiveResourcesInfo().length,
    'sessions of the database': rows[0]?.sessions,
    'waiting for a connection': database.pool().waiting,
    ...counts,
  }
}

const table: Record<string, object> = {}
await visitUntil(performance.now() + 30_000)
table['after 30 seconds'] = await measure()
for (const part of [1, 2]) {
  await visitUntil(performance.now() + Number(MINUTES) * 30_000)
  table[`${(Number(MINUTES) * part) / 2} minutes later`] = await measure()
}
console.table(table)
