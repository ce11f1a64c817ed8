import { createServer, type RequestListener } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { createExpressMiddleware } from '@trpc/server/adapters/express'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { createHTTPHandler } from '@trpc/server/adapters/standalone'
import express, { type RequestHandler } from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  appRouter,
  createContextFactory,
  createFetchHandler,
  createNodeHandler,
  type HandlerOptions,
} from '../../../server/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { bearer, json, type Sent, send } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'
import { listen } from '../../parts/listen.js'

/** A running host. */
interface Host {
  call(path: string, sent?: Sent): Promise<Response>
  stop(): Promise<void>
}
type StartHost = (parts: HandlerOptions) => Promise<Host>

async function onSocket(listener: RequestListener, prefix = '/trpc'): Promise<Host> {
  const { url, [Symbol.asyncDispose]: stop } = await listen(createServer(listener))
  return { call: (path, sent) => send(url, `${prefix}${path}`, sent), stop }
}

async function inProcess(handle: (request: Request) => Promise<Response>, prefix = ''): Promise<Host> {
  const call = (path: string, { method, headers: pairs = [], body }: Sent = {}) => {
    const headers = new Headers()
    for (const [name, value] of pairs) headers.append(name, value)
    return handle(new Request(`https://api.example.com${prefix}${path}`, { method, headers, body }))
  }
  return { call, stop: async () => {} }
}

const expressBehind =
  (...parsers: RequestHandler[]): StartHost =>
  parts => {
    const app = express()
    for (const parser of parsers) app.use(parser)
    app.use('/trpc', createNodeHandler(parts))
    return onSocket(app)
  }
const all = { type: '*/*', limit: '5mb' }

const endpoints: [name: string, start: StartHost][] = [
  ['node:http', parts => onSocket(createNodeHandler(parts))],
  ['node:http, elsewhere', parts => onSocket(createNodeHandler({ ...parts, basePath: '/a/b/' }), '/a/b')],
  ['Express', expressBehind()],
  ['Express behind express.json()', expressBehind(express.json({ limit: '5mb' }))],
  ['Express behind express.text()', expressBehind(express.text(all))],
  ['Express behind express.raw()', expressBehind(express.raw(all))],
  ['Express behind express.urlencoded()', expressBehind(express.urlencoded())],
  [
    'Fastify',
    async parts => {
      const app = fastify({ bodyLimit: 5_000_000 })
      app.addHook('onRequest', async (_request, reply) => void reply.header('x-from-host', 'yes'))
      app.register(async scope => {
        scope.removeAllContentTypeParsers()
        scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
        scope.all('/trpc/*', createNodeHandler(parts))
      })
      const url = await app.listen({ port: 0, host: '127.0.0.1' })
      const call: Host['call'] = async (path, sent) => {
        const response = await send(url, `/trpc${path}`, sent)
        expect(response.headers.get('x-from-host')).toBe('yes')
        return response
      }
      return { call, stop: () => app.close() }
    },
  ],
  [
    'Hono',
    parts => {
      const handler = createFetchHandler(parts)
      const app = new Hono().all('/trpc/*', c => handler(c.req.raw))
      return onSocket(getRequestListener(app.fetch))
    },
  ],
  ['a Fetch handler', parts => inProcess(createFetchHandler(parts), '/trpc')],
  ['a Fetch handler whose prefix is cut off', parts => inProcess(createFetchHandler(parts))],
  [
    'a Next.js route handler',
    parts => {
      const handler = createFetchHandler({ ...parts, basePath: '/api/trpc' })
      const route = new Map([
        ['GET', handler],
        ['POST', handler],
      ])
      const refuse = async () => new Response(null, { status: 405 })
      return inProcess(request => (route.get(request.method) ?? refuse)(request), '/api/trpc')
    },
  ],
]

/** tRPC's own adapters, with our router and our context. */
const adapters: [name: string, start: StartHost][] = [
  [
    "tRPC's standalone adapter",
    parts => {
      const createContext = createContextFactory(parts)
      return onSocket(createHTTPHandler({ router: appRouter, createContext, basePath: '/trpc/' }))
    },
  ],
  [
    "tRPC's Express adapter",
    parts => {
      const createContext = createContextFactory(parts)
      return onSocket(express().use('/trpc', createExpressMiddleware({ router: appRouter, createContext })))
    },
  ],
  [
    "tRPC's Fetch adapter",
    parts => {
      const createContext = createContextFactory(parts)
      const handle = (req: Request) =>
        fetchRequestHandler({ req, endpoint: '/trpc', router: appRouter, createContext })
      return inProcess(handle, '/trpc')
    },
  ],
]

let issuer: Awaited<ReturnType<typeof startIssuer>>
let database: Awaited<ReturnType<typeof openTestDatabase>>
const verify = vi.fn((token: string) => issuer.verifier.verify(token))
beforeAll(async () => {
  issuer = await startIssuer()
  database = await openTestDatabase('PostgreSQL')
})
beforeEach(() => void verify.mockClear())
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await issuer[Symbol.asyncDispose]()
})

function runningHost(start: StartHost) {
  let host: Host
  beforeAll(async () => {
    host = await start({ verifier: { verify }, database })
  })
  afterAll(() => host.stop())
  return {
    call: (path: string, sent?: Sent) => host.call(path, sent),
    /** Calls a procedure as a user. */
    async as(person: string, path: string, sent: Sent = {}) {
      const headers = [bearer(await issuer.tokenFor(person)), ...(sent.headers ?? [])]
      return host.call(path, { ...sent, headers })
    },
  }
}

const refusal = (reason: string) => ({ error: { json: { data: { code: 'UNAUTHORIZED', reason } } } })

describe.each([...endpoints, ...adapters])('%s', (_, start) => {
  const host = runningHost(start)

  test('a query is answered for the user of the token', async () => {
    const response = await host.as('alice', '/me')
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ result: { data: { json: { id: 'alice' } } } })
  })

  test('a mutation gets its whole input, and only its caller sees the result', async () => {
    const person = crypto.randomUUID()
    const title = 'Käse für 3 € 🧀'
    const dueAt = '2031-05-06T07:08:09.123Z'
    const input = { json: { title, dueAt }, meta: { values: { dueAt: ['Date'] } } }
    const created = await host.as(person, '/tasks.create', json(input))
    expect(created.status).toBe(200)
    expect(await created.json()).toMatchObject({ result: { data: { json: { title, dueAt } } } })

    const own = await host.as(person, '/tasks.list')
    expect(await own.json()).toMatchObject({ result: { data: { json: { items: [{ title }] } } } })
    const foreign = await host.as('bob', '/tasks.list?input=%7B%22json%22%3A%7B%7D%7D')
    expect(await foreign.text()).not.toContain('Käse')
  })

  test('a batch is authenticated once', async () => {
    const response = await host.as('alice', '/me,health,me?batch=1&input=%7B%7D')
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject([{ result: {} }, { result: {} }, { result: {} }])
    expect(verify).toHaveBeenCalledOnce()
  })

  test('a call without a token is 401 "missing"', async () => {
    const response = await host.call('/me')
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject(refusal('missing'))
  })

  test('two Authorization headers are malformed', async () => {
    const [first, second] = [await issuer.tokenFor('alice'), await issuer.tokenFor('bob')]
    const response = await host.call('/me', { headers: [bearer(first), bearer(second)] })
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject(refusal('malformed'))
    expect(verify).not.toHaveBeenCalled()
  })

  test('two Authorization headers are malformed even if one is empty', async () => {
    const response = await host.as('alice', '/me', { headers: [['authorization', '']] })
    expect(await response.json()).toMatchObject(refusal('malformed'))
  })
})

describe.each(endpoints)('%s serves the whole endpoint', (_, start) => {
  const host = runningHost(start)

  test.each(['/nothing', '/a/b', '/', '//me'])('%s is 404', async path => {
    expect((await host.as('alice', path)).status).toBe(404)
  })

  test('each mutation of a batch has its own input', async () => {
    const input = { 0: { json: { title: 'one' } }, 1: { json: { title: 'two' } } }
    const response = await host.as('alice', '/tasks.create,tasks.create?batch=1', json(input))
    const task = (title: string) => ({ result: { data: { json: { title } } } })
    expect(await response.json()).toMatchObject([task('one'), task('two')])
  })

  test('a mutation without an input needs no body', async () => {
    const headers: Sent['headers'] = [['content-type', 'application/json']]
    const response = await host.as('alice', '/tasks.clearCompleted', { method: 'POST', headers })
    expect(response.status).toBe(200)
  })

  test('a body of more than 1 MB is 413', async () => {
    const body = json({ json: { title: 'x', notes: 'x'.repeat(1_048_576) } })
    expect((await host.as('alice', '/tasks.create', body)).status).toBe(413)
  })

  test('a body that is not JSON is 415', async () => {
    const headers: Sent['headers'] = [['content-type', 'text/plain']]
    const response = await host.as('alice', '/tasks.create', { ...json({ json: { title: 'x' } }), headers })
    expect(response.status).toBe(415)
  })

  test('a refusal has a challenge and is not cached', async () => {
    const { headers } = await host.call('/me')
    expect(headers.get('www-authenticate')).toBe('Bearer')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  })
})

test("Fastify's own JSON parser may read the body before", async () => {
  const app = fastify()
  app.all('/trpc/*', createNodeHandler({ verifier: { verify }, database }))
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const sent = json({ json: { title: 'parsed by Fastify' } })
  const headers = [bearer(await issuer.tokenFor('alice')), ...sent.headers]
  const response = await send(url, '/trpc/tasks.create', { ...sent, headers })
  expect(await response.json()).toMatchObject({ result: { data: { json: { title: 'parsed by Fastify' } } } })
  await app.close()
})
