import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { TRPCError } from '@trpc/server'
import { type Kysely, sql } from 'kysely'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { createClient } from '../../../client/index.js'
import { type Database, migrateToLatest, openDatabase, protectTable } from '../../../db/index.js'
import {
  createNodeHandler,
  protectedProcedure,
  publicProcedure,
  reasonOf,
  router,
  TokenError,
  tasksRouter,
} from '../../../server/index.js'
import { causesOf } from '../../../shared/error-handling.js'
import { startRemote } from '../../parts/app.js'
import { emptyDatabase, migratedDatabase, nowhere } from '../../parts/database.js'
import { bearer, json, send } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'
import { listen } from '../../parts/listen.js'
import { runSql } from '../../parts/run-sql.js'
import { waitFor } from '../../parts/wait-for.js'

const outage = (reason: string) => ({
  error: { json: { data: { code: 'SERVICE_UNAVAILABLE', httpStatus: 503, reason } } },
})

test('an issuer that was never reachable is 503, not 401', async () => {
  await using issuer = await startIssuer({ mode: 'away' })
  await using app = await startRemote(issuer)
  const headers = [bearer(await issuer.tokenFor('alice'))]

  const me = await send(app.url, '/trpc/me', { headers })
  expect(me.status).toBe(503)
  expect(me.headers.get('retry-after')).toMatch(/^\d+$/)
  expect(me.headers.get('www-authenticate')).toBeNull()
  expect(await me.json()).toMatchObject(outage('keys_unavailable'))

  expect((await send(app.url, '/trpc/health', { headers })).status).toBe(200)
  expect((await send(app.url, '/trpc/me')).status).toBe(401)

  const batch = await send(app.url, '/trpc/health,me?batch=1&input=%7B%7D', { headers })
  expect(batch.status).toBe(207)
  expect(batch.headers.get('retry-after')).toMatch(/^\d+$/)
})

test.concurrent('an issuer that recovers is used again', async () => {
  await using issuer = await startIssuer({ mode: 'away' })
  await using app = await startRemote(issuer)
  const headers = [bearer(await issuer.tokenFor('alice'))]
  expect((await send(app.url, '/trpc/me', { headers })).status).toBe(503)
  issuer.mode = 'up'
  const me = async () => expect((await send(app.url, '/trpc/me', { headers })).status).toBe(200)
  await waitFor(me, { timeout: 10_000, interval: 100 })
})

test.each<[string, TokenError, string]>([
  ['of the error, in whole seconds', new TokenError('keys_unavailable', { retryAfter: 41.2 }), '42'],
  ['of 5 seconds if the error has none', new TokenError('revocation_unavailable'), '5'],
])('an outage is 503 with Retry-After %s, the largest of a batch', async (_, error, seconds) => {
  await using issuer = await startIssuer()
  const database = await openDatabase({ url: nowhere })
  const verifier = { verify: () => Promise.reject(error) }
  const unavailable = protectedProcedure.query(() => 'never')
  const away = publicProcedure.query(() => {
    throw new TRPCError({ code: 'SERVICE_UNAVAILABLE', message: 'Back soon.' })
  })
  const handler = createNodeHandler({
    verifier,
    database,
    router: router({ unavailable, away }),
    onError() {},
  })
  await using server = await listen(createServer(handler))
  const headers = [bearer(await issuer.tokenFor('alice'))]
  const one = await send(server.url, '/trpc/unavailable', { headers })
  expect([one.status, one.headers.get('retry-after')]).toEqual([503, seconds])
  expect(await one.json()).toMatchObject(outage(error.reason))
  const batch = await send(server.url, '/trpc/away,unavailable,away?batch=1&input=%7B%7D', { headers })
  expect(batch.headers.get('retry-after')).toBe(seconds)
  await database.close()
})

test('an unreachable database is 503, and the answer does not contain its address', async () => {
  await using issuer = await startIssuer()
  await using app = await startRemote(issuer)
  const headers = [bearer(await issuer.tokenFor('alice'))]

  const list = await send(app.url, '/trpc/tasks.list', { headers })
  expect(list.status).toBe(503)
  expect(list.headers.get('retry-after')).toMatch(/^\d+$/)
  const text = await list.text()
  expect(JSON.parse(text)).toMatchObject(outage('database_unavailable'))
  expect(text).not.toMatch(/127\.0\.0\.1|ECONNREFUSED|hunter2|nobody/)

  const create = json({ json: { title: 'milk' } })
  const created = await send(app.url, '/trpc/tasks.create', {
    ...create,
    headers: [...headers, ...create.headers],
  })
  expect(created.status).toBe(503)
  expect((await send(app.url, '/trpc/me', { headers })).status).toBe(200)
})

test.concurrent('a database that accepts connections but does not answer is 503 after DATABASE_CONNECT_TIMEOUT', async () => {
  await using issuer = await startIssuer()
  await using mute = await listen(createTcpServer(socket => socket.resume()))
  const env = {
    DATABASE_URL: `postgres://nobody@127.0.0.1:${mute.port}/nothing`,
    DATABASE_CONNECT_TIMEOUT: '1',
  }
  await using app = await startRemote(issuer, env)
  const headers = [bearer(await issuer.tokenFor('alice'))]
  const response = await send(app.url, '/trpc/tasks.list', { headers })
  expect(await response.json()).toMatchObject(outage('database_unavailable'))
})

/** A server with its own PostgreSQL database, migrated or not. */
async function startAsking({ migrate, poolMax = 1 }: { migrate: boolean; poolMax?: number }) {
  const issuer = await startIssuer()
  const empty = await (migrate ? migratedDatabase() : emptyDatabase())
  const database = await openDatabase({ url: empty.url, statementTimeout: 1, poolMax })
  const asking = router({
    tasks: protectedProcedure.query(({ ctx }) => ctx.db.selectFrom('tasks').selectAll().execute()),
    sleep: protectedProcedure.query(({ ctx }) => sql`select pg_sleep(60)`.execute(ctx.db)),
    run: protectedProcedure
      .input(z.object({ text: z.string(), wrap: z.enum(['cause', 'aggregate']).optional() }))
      .mutation(async ({ ctx, input: { text, wrap } }) => {
        const call = async () => {
          if (text === 'conflict') await conflict(ctx.db)
          else await sql.raw(text).execute(ctx.db)
        }
        await call().catch(cause => {
          if (wrap === 'cause') throw new Error('The list failed.', { cause })
          throw wrap === 'aggregate' ? new AggregateError([new Error('Another.'), cause]) : cause
        })
      }),
    addForBob: protectedProcedure.mutation(({ ctx }) =>
      ctx.db.insertInto('tasks').values({ user_id: 'bob', id: crypto.randomUUID(), title: 'x' }).execute(),
    ),
  })
  const handler = createNodeHandler({ verifier: issuer.verifier, database, router: asking, onError() {} })
  const server = await listen(createServer(handler))
  return {
    url: server.url,
    database: { ...database, url: empty.url },
    alice: { headers: [bearer(await issuer.tokenFor('alice'))] },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await database.close()
      await empty[Symbol.asyncDispose]()
      await issuer[Symbol.asyncDispose]()
    },
  }
}

test.concurrent('a schema that is not migrated yet is 503, even if the role exists already', async () => {
  await using ready = await startAsking({ migrate: true })
  await using early = await startAsking({ migrate: false })
  expect((await send(ready.url, '/trpc/tasks', ready.alice)).status).toBe(200)
  const response = await send(early.url, '/trpc/tasks', early.alice)
  expect(await response.json()).toMatchObject(outage('database_unavailable'))
})

test.concurrent('a table tasks that is missing is an outage for tasksRouter only, which says what to run', async () => {
  await using issuer = await startIssuer()
  await using empty = await emptyDatabase()
  const database = await openDatabase({ url: empty.url })
  await migrateToLatest(database.admin)
  const causes: Record<string, unknown> = {}
  const own = protectedProcedure.query(({ ctx }) => ctx.db.selectFrom('tasks').selectAll().execute())
  const handler = createNodeHandler({
    verifier: issuer.verifier,
    database,
    router: router({ own, tasks: tasksRouter }),
    onError: ({ procedure = '', error }) => {
      causes[procedure] = causesOf(error).at(-2)?.message
    },
  })
  await using server = await listen(createServer(handler))
  const alice = { headers: [bearer(await issuer.tokenFor('alice'))] }
  const list = await send(server.url, '/trpc/tasks.list', alice)
  expect(list.status).toBe(503)
  expect(await list.json()).toMatchObject(outage('database_unavailable'))
  expect((await send(server.url, '/trpc/own', alice)).status).toBe(500)
  expect(causes).toEqual({
    'tasks.list': expect.stringContaining('migrateTasks'),
    own: expect.not.stringContaining('migrateTasks'),
  })
  await database.close()
})

test.concurrent('a statement over the time limit is 504, and its connection is used again', async () => {
  await using app = await startAsking({ migrate: true })
  const response = await send(app.url, '/trpc/sleep', app.alice)
  expect(response.status).toBe(504)
  expect(await response.json()).toMatchObject({ error: { json: { data: { code: 'GATEWAY_TIMEOUT' } } } })
  expect((await send(app.url, '/trpc/tasks', app.alice)).status).toBe(200)
})

const raise = (code: string) => ({ text: `select raise('${code}')` })
const conflict = async (db: Kysely<Database>) => {
  const count = (trx: Kysely<Database>) => sql`select count(*) from tasks`.execute(trx)
  const add = (trx: Kysely<Database>) =>
    trx.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'x' }).execute()
  const serializable = () => db.transaction().setIsolationLevel('serializable')
  await serializable().execute(async one => {
    await count(one)
    await serializable().execute(async two => {
      await count(two)
      await add(two)
    })
    await add(one)
  })
}

test.concurrent.each([
  ['a time-out inside another error', 504, { text: 'select pg_sleep(60)', wrap: 'cause' }],
  ['a time-out inside an AggregateError', 504, { text: 'select pg_sleep(60)', wrap: 'aggregate' }],
  ['a lock_timeout', 504, { text: 'select * from locked' }],
  ['a conflict of serializable transactions', 409, { text: 'conflict' }],
  ['the code of a time-out that a function of the application raises', 500, raise('57014')],
  ['the code of a read-only server, raised likewise', 500, raise('25006')],
  ['the code of a deadlock, raised likewise', 500, raise('40P01')],
])('%s is %i', async (_, status, input) => {
  await using app = await startAsking({ migrate: true, poolMax: 3 })
  await runSql(
    app.database.url,
    `alter database ${new URL(app.database.url).pathname.slice(1)} set lock_timeout = '100ms';
    create table locked (user_id text primary key);
    grant select on locked to app_user;
    create function raise(code text) returns void language plpgsql as
      'begin raise exception using errcode = code, message = ''No.''; end'`,
  )
  await protectTable(app.database.admin, 'locked')
  await app.database.fence()
  const call = json({ json: input })
  await app.database.admin.transaction().execute(async trx => {
    await sql`lock table locked in access exclusive mode`.execute(trx)
    const headers = [...app.alice.headers, ...call.headers]
    expect((await send(app.url, '/trpc/run', { ...call, headers })).status).toBe(status)
  })
  expect((await send(app.url, '/trpc/tasks', app.alice)).status).toBe(200)
})

test.concurrent('a row that would belong to somebody else is 403, and the answer names no policy', async () => {
  await using app = await startAsking({ migrate: true })
  const call = json({})
  const response = await send(app.url, '/trpc/addForBob', {
    ...call,
    headers: [...app.alice.headers, ...call.headers],
  })
  expect(response.status).toBe(403)
  const text = await response.text()
  expect(JSON.parse(text)).toMatchObject({
    error: { json: { message: 'You can only write your own rows.', data: { code: 'FORBIDDEN' } } },
  })
  expect(text).not.toMatch(/policy|tasks/)
})

if (process.env.LONG_TESTS) {
  test.concurrent('STATEMENT_TIMEOUT limits the time that a call waits for a lock', async () => {
    await using issuer = await startIssuer()
    await using database = await migratedDatabase()
    await using app = await startRemote(issuer, { DATABASE_URL: database.url, STATEMENT_TIMEOUT: '1' })
    // A table that was locked before its first check is not served.
    expect((await send(app.url, '/readyz')).status).toBe(200)
    const other = await openDatabase({ url: database.url })
    const headers = [bearer(await issuer.tokenFor('alice'))]
    const response = await other.admin.transaction().execute(async trx => {
      await sql`lock table tasks in access exclusive mode`.execute(trx)
      return send(app.url, '/trpc/tasks.list', { headers })
    })
    await other.close()
    expect(response.status).toBe(504)
  })
}

if (process.env.LONG_TESTS) {
  test.concurrent('a search that takes longer than STATEMENT_TIMEOUT is 504 with advice, and shorter ones are answered', async () => {
    await using issuer = await startIssuer()
    await using database = await migratedDatabase()
    await using app = await startRemote(issuer, { DATABASE_URL: database.url, STATEMENT_TIMEOUT: '1' })
    const admin = await openDatabase({ url: database.url })
    await sql`
    insert into tasks (user_id, id, title, notes)
    select 'alice', gen_random_uuid(), 'long', repeat('a', 10000) from generate_series(1, 3000)`.execute(
      admin.admin,
    )
    await admin.close()
    const client = createClient({ url: `${app.url}/trpc`, getToken: () => issuer.tokenFor('alice') })
    await expect(client.tasks.list.query({ search: `b${'a'.repeat(199)}` })).rejects.toMatchObject({
      message: 'This took longer than the server allows. Ask for less at once.',
      data: { code: 'GATEWAY_TIMEOUT', httpStatus: 504 },
    })
    expect((await client.tasks.list.query({ search: 'LONG' })).items).toHaveLength(20)
  })
}

test.each<[string, unknown]>([
  ['no error', undefined],
  ['text', 'expired'],
  ['an error without a cause', new Error('expired')],
  ['an error with a reason of its own', Object.assign(new Error('x'), { reason: 'out of milk' })],
  ['a refusal of another kind', new TRPCError({ code: 'FORBIDDEN', message: 'Not yours' })],
])('reasonOf is undefined for %s', (_, error) => {
  expect(reasonOf(error)).toBeUndefined()
})
