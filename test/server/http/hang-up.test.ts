import { createServer, type RequestListener } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { createHTTPHandler } from '@trpc/server/adapters/standalone'
import express from 'express'
import { Hono } from 'hono'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import {
  createContextFactory,
  createFetchHandler,
  createNodeHandler,
  type HandlerOptions,
  protectedProcedure,
  router,
} from '../../../server/index.js'
import { startRemote } from '../../parts/app.js'
import { migratedDatabase, openTestDatabase } from '../../parts/database.js'
import { bearer, json, type Sent } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'
import { listen } from '../../parts/listen.js'
import { someOf } from '../../parts/some-of.js'
import { waitFor } from '../../parts/wait-for.js'

/** Yields one row at once and the next after 30 seconds. */
const slowRows = (db: OpenDatabase['admin']) =>
  db
    .selectFrom(sql<{ n: number }>`generate_series(1, 2)`.as<'n'>(sql`n`))
    .select(sql`case when n > 1 then pg_sleep(30) end`.as('slept'))
    .stream(1)

const slow = router({
  query: protectedProcedure.query(({ ctx }) => sql`select pg_sleep(30)`.execute(ctx.db)),
  mutation: protectedProcedure.mutation(({ ctx }) =>
    ctx.db.transaction().execute(async trx => {
      await trx.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'never' }).execute()
      await sql`select pg_sleep(30)`.execute(trx)
    }),
  ),
  stream: protectedProcedure.query(async function* ({ ctx }) {
    yield* slowRows(ctx.db)
  }),
  subscription: protectedProcedure.subscription(async function* ({ ctx }) {
    yield* slowRows(ctx.db)
  }),
  titles: protectedProcedure.query(({ ctx }) => ctx.db.selectFrom('tasks').select('title').execute()),
})

interface Host {
  call(path: string, init: RequestInit): Promise<Response>
  stop(): Promise<void>
}
type StartHost = (options: Omit<HandlerOptions, 'router'>) => Promise<Host>

async function onSocket(listener: RequestListener): Promise<Host> {
  const { url, [Symbol.asyncDispose]: stop } = await listen(createServer(listener))
  return { call: (path, init) => fetch(`${url}${path}`, init), stop }
}

const hosts: [name: string, start: StartHost][] = [
  ['createNodeHandler', parts => onSocket(createNodeHandler({ ...parts, router: slow }))],
  [
    'createNodeHandler behind express.json()',
    parts => {
      const handler = createNodeHandler({ ...parts, router: slow })
      return onSocket(express().use(express.json()).use('/trpc', handler))
    },
  ],
  [
    'createFetchHandler in Hono',
    parts => {
      const handler = createFetchHandler({ ...parts, router: slow })
      return onSocket(getRequestListener(new Hono().all('/trpc/*', c => handler(c.req.raw)).fetch))
    },
  ],
  [
    'createFetchHandler by itself',
    async parts => {
      const handler = createFetchHandler({ ...parts, router: slow })
      const call: Host['call'] = (path, init) => handler(new Request(`https://api.example.com${path}`, init))
      return { call, stop: async () => {} }
    },
  ],
  [
    "tRPC's standalone adapter with createContextFactory",
    parts => {
      const createContext = createContextFactory(parts)
      return onSocket(createHTTPHandler({ router: slow, createContext, basePath: '/trpc/' }))
    },
  ],
]

/** Waits until this number of statements run or wait for a lock in the database. */
const becomes = (count: number, { admin: db }: Pick<OpenDatabase, 'admin'>) =>
  waitFor(
    async () => {
      const { rows } = await sql`
        select count(*)::int from pg_stat_activity
        where datname = current_database() and state = 'active' and pid <> pg_backend_pid()`.execute(db)
      expect(rows).toEqual([{ count }])
    },
    { timeout: 5_000 },
  )

let issuer: Awaited<ReturnType<typeof startIssuer>>
beforeAll(async () => {
  issuer = await startIssuer()
})
afterAll(() => issuer[Symbol.asyncDispose]())

const headersOf = async (person: string) => Object.fromEntries([bearer(await issuer.tokenFor(person))])

describe.each(someOf(hosts, 4))('a client of %s that disconnects', (_, start) => {
  let admin: Awaited<ReturnType<typeof openTestDatabase>>
  let database: OpenDatabase
  let host: Host
  beforeAll(async () => {
    admin = await openTestDatabase('PostgreSQL')
    database = await openDatabase({ url: admin.url ?? undefined, poolMax: 1 })
    host = await start({ verifier: issuer.verifier, database, onError: () => {} })
  })
  afterAll(async () => {
    await host.stop()
    await database.close()
    await admin[Symbol.asyncDispose]()
  })

  test.each<[string, string, Sent]>([
    ['a query', '/trpc/query', {}],
    ['a transaction', '/trpc/mutation', json({ json: {} })],
    ['a stream', '/trpc/stream?batch=1&input={}', { headers: [['trpc-accept', 'application/jsonl']] }],
    ['a subscription', '/trpc/subscription', { headers: [['accept', 'text/event-stream']] }],
  ])(
    'has %s cancelled in PostgreSQL, and the next one is answered',
    async (_, path, { method, body, headers: own = [] }) => {
      const headers = {
        ...(await headersOf('alice')),
        'content-type': 'application/json',
        ...Object.fromEntries(own),
      }
      const gone = new AbortController()
      const call = host
        .call(path, { method, body, headers, signal: gone.signal })
        .then(response => response.text())
        .catch(() => {})
      await becomes(1, admin)
      gone.abort()
      await becomes(0, admin)
      await call
      const next = await host.call('/trpc/titles', { headers: await headersOf('alice') })
      expect(await next.json()).toEqual({ result: { data: { json: [] } } })
      expect(database.pool()).toMatchObject({ waiting: 0 })
    },
  )
})

test('the statement of a client that disconnects stops waiting for its lock', async () => {
  await using database = await migratedDatabase()
  await using app = await startRemote(issuer, { DATABASE_URL: database.url, DATABASE_POOL_MAX: '1' })
  const admin = await openDatabase({ url: database.url })
  const list = async (init: RequestInit = {}) =>
    fetch(`${app.url}/trpc/tasks.list`, { ...init, headers: await headersOf('alice') })
  const gone = new AbortController()
  try {
    expect((await list()).status).toBe(200)
    await admin.admin.transaction().execute(async trx => {
      await sql`lock table tasks in access exclusive mode`.execute(trx)
      const call = list({ signal: gone.signal }).catch(() => {})
      await becomes(1, admin)
      gone.abort()
      await becomes(0, admin)
      await call
    })
    expect((await list()).status).toBe(200)
  } finally {
    await admin.close()
  }
})
