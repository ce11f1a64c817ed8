import { createServer } from 'node:http'
import { connect } from 'node:http2'
import { text } from 'node:stream/consumers'
import { initTRPC, lazy } from '@trpc/server'
import express from 'express'
import fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import {
  createFetchHandler,
  createNodeHandler,
  type HandlerOptions,
  protectedProcedure,
  publicProcedure,
  router,
} from '../../../server/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { startIssuer } from '../../parts/issuer.js'
import { listen } from '../../parts/listen.js'

const form = z.instanceof(FormData)
const bytes = z.instanceof(ReadableStream)
const lengthOf = async (stream: ReadableStream) => (await new Response(stream).arrayBuffer()).byteLength

const own = router({
  upload: protectedProcedure.input(form).mutation(async ({ input, ctx }) => {
    const file = input.get('file')
    const text = file instanceof File ? await file.text() : null
    return { owner: ctx.user.id, name: input.get('name'), text }
  }),
  store: publicProcedure.input(bytes).mutation(({ input }) => lengthOf(input)),
  echo: publicProcedure.input(z.string()).query(({ input }) => input),
  cached: publicProcedure.query(() => 'same for everybody'),
})

let issuer: Awaited<ReturnType<typeof startIssuer>>
let database: Awaited<ReturnType<typeof openTestDatabase>>
beforeAll(async () => {
  issuer = await startIssuer()
  database = await openTestDatabase('PostgreSQL')
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await issuer[Symbol.asyncDispose]()
})

type Call = (path: string, init?: RequestInit) => Promise<Response>
const hosts: [
  name: string,
  start: (options: HandlerOptions) => Promise<{ call: Call; stop(): Promise<void> }>,
][] = [
  [
    'node:http',
    async options => {
      const server = await listen(createServer(createNodeHandler(options)))
      return { call: (path, init) => fetch(server.url + path, init), stop: server[Symbol.asyncDispose] }
    },
  ],
  [
    'Express behind express.json()',
    async options => {
      const app = express().use(express.json()).use('/trpc', createNodeHandler(options))
      const server = await listen(createServer(app))
      return { call: (path, init) => fetch(server.url + path, init), stop: server[Symbol.asyncDispose] }
    },
  ],
  [
    'Fastify',
    async options => {
      const app = fastify()
      app.register(async scope => {
        scope.removeAllContentTypeParsers()
        scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
        scope.all('/trpc/*', createNodeHandler(options))
      })
      const url = await app.listen({ port: 0, host: '127.0.0.1' })
      return { call: (path, init) => fetch(url + path, init), stop: () => app.close() }
    },
  ],
  [
    'a Fetch handler',
    async options => {
      const handler = createFetchHandler(options)
      return {
        call: (path, init) => handler(new Request(`https://api.example.com${path}`, init)),
        stop: async () => {},
      }
    },
  ],
]

describe.each(hosts)('%s', (_, start) => {
  let host: Awaited<ReturnType<typeof start>>
  beforeAll(async () => {
    host = await start({
      verifier: issuer.verifier,
      database,
      router: own,
      maxBodySize: 100_000,
      maxBatchSize: 3,
      responseMeta: ({ paths }) =>
        paths?.includes('cached') ? { headers: new Headers({ 'cache-control': 'public, max-age=60' }) } : {},
    })
  })
  afterAll(() => host.stop())

  const post = async (
    path: string,
    body: FormData | Uint8Array<ArrayBuffer> | string,
    headers: Record<string, string> = {},
  ) =>
    host.call(path, {
      method: 'POST',
      body,
      headers: { authorization: `Bearer ${await issuer.tokenFor('alice')}`, ...headers },
    })
  const data = async (response: Response) => {
    expect(response.status).toBe(200)
    const { result } = (await response.json()) as { result: { data: { json: unknown } } }
    return result.data.json
  }

  test('a procedure takes FormData with a file', async () => {
    const body = new FormData()
    body.set('name', 'Zoë')
    body.set('file', new File(['content €'], 'notes.txt'))
    expect(await data(await post('/trpc/upload', body))).toEqual({
      owner: 'alice',
      name: 'Zoë',
      text: 'content €',
    })
  })

  test('a procedure takes bytes', async () => {
    const type = { 'content-type': 'application/octet-stream' }
    expect(await data(await post('/trpc/store', new Uint8Array(99_999), type))).toBe(99_999)
  })

  test('a form, bytes and JSON over maxBodySize are 413, and the answer names the limit', async () => {
    const body = new FormData()
    body.set('file', new File(['x'.repeat(100_000)], 'large.txt'))
    const octets = { 'content-type': 'application/octet-stream' }
    for (const response of [
      await post('/trpc/upload', body),
      await post('/trpc/store', new Uint8Array(100_001), octets),
      await post('/trpc/echo', JSON.stringify({ json: 'x'.repeat(100_000) }), {
        'content-type': 'application/json',
      }),
    ]) {
      expect(response.status).toBe(413)
      expect(await response.text()).toContain('larger than 100000 bytes')
    }
  })

  test('a form that is not one is 400', async () => {
    const type = { 'content-type': 'multipart/form-data; boundary=x' }
    expect((await post('/trpc/upload', 'no form', type)).status).toBe(400)
  })

  test('a form for a procedure that takes JSON is 400', async () => {
    expect((await post('/trpc/echo', new FormData())).status).toBe(400)
  })

  test.each(['text/plain', 'multipart/form-data; boundary=x', 'application/octet-stream', 'x'])(
    'a GET ignores the content type %s',
    async type => {
      const path = `/trpc/echo?input=${encodeURIComponent('{"json":"hello"}')}`
      expect(await data(await host.call(path, { headers: { 'content-type': type } }))).toBe('hello')
    },
  )

  test('a slash behind the path is accepted', async () => {
    expect(await data(await host.call('/trpc/cached/'))).toBe('same for everybody')
  })

  test('maxBatchSize is the most calls of a batch', async () => {
    const batch = (count: number) => `/trpc/${Array(count).fill('cached')}?batch=1&input={}`
    expect((await host.call(batch(3))).status).toBe(200)
    expect((await host.call(batch(4))).status).toBe(400)
  })

  test('responseMeta sets headers; an answer that may be stored varies by token', async () => {
    const { headers } = await host.call('/trpc/cached')
    expect(headers.get('cache-control')).toBe('public, max-age=60')
    expect(headers.get('vary')).toContain('Authorization')
    const other = await host.call('/trpc/echo?input=%7B%22json%22%3A%22x%22%7D')
    expect(other.headers.get('cache-control')).toBe('no-store')
  })
})

test.each(['trpc', '/trpc', '/trpc/', 'trpc/'])('basePath %j means the same', async basePath => {
  const options = { verifier: issuer.verifier, database, router: own, basePath }
  const handler = createFetchHandler(options)
  for (const path of ['/trpc/cached', '/cached'])
    expect((await handler(new Request(`https://api.example.com${path}`))).status).toBe(200)
})

test.each(['/', ''])('with basePath %j the procedures are at the root', async basePath => {
  const handler = createFetchHandler({ verifier: issuer.verifier, database, router: own, basePath })
  expect((await handler(new Request('https://api.example.com/cached'))).status).toBe(200)
})

test('a procedure of a lazy router is known by its name', async () => {
  const t = initTRPC.create()
  const inner = t.router({ deep: t.procedure.query(() => 'found') })
  const reports: unknown[] = []
  const handler = createFetchHandler({
    verifier: issuer.verifier,
    database,
    router: t.router({ lazy: lazy(async () => inner) }),
    onAnswer: ({ calls }) => void reports.push(calls),
  })
  expect((await handler(new Request('https://api.example.com/trpc/lazy.deep'))).status).toBe(200)
  expect(reports).toEqual([[{ procedure: 'lazy.deep', outcome: 'ok' }]])
})

test('a path of slashes is answered in linear time', async () => {
  const handler = createFetchHandler({ verifier: issuer.verifier, database, router: own })
  // Quadratic time would be minutes, so the test would time out.
  const response = await handler(new Request(`https://api.example.com/trpc/${'/'.repeat(500_000)}x`))
  expect(response.status).toBe(404)
})

test('a body of many small chunks arrives whole', async () => {
  const handler = createFetchHandler({ verifier: issuer.verifier, database, router: own })
  const text = JSON.stringify({ json: 'x'.repeat(20_000) })
  const bytes = new TextEncoder().encode(text)
  const body = new ReadableStream({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
      controller.close()
    },
  })
  const headers = { 'content-type': 'application/json' }
  const request = new Request('https://api.example.com/trpc/echo', {
    method: 'POST',
    body,
    headers,
    duplex: 'half',
  })
  expect(await (await handler(request)).text()).toContain('x'.repeat(20_000))
})

test('a promise inside an answer that is not streamed, and that rejects, does not end the process', async () => {
  const lost = router({
    lost: protectedProcedure.query(() => ({
      later: new Promise((_, reject) => setTimeout(() => reject(new Error('The database is down.')), 50)),
    })),
  })
  const handler = createFetchHandler({ verifier: issuer.verifier, database, router: lost, onError() {} })
  const headers = { authorization: `Bearer ${await issuer.tokenFor('alice')}` }
  const response = await handler(new Request('https://api.example.com/trpc/lost', { headers }))
  expect(response.status).toBe(415)
  const rejected = vi.fn()
  process.on('unhandledRejection', rejected)
  await new Promise(done => setTimeout(done, 100))
  process.off('unhandledRejection', rejected)
  expect(rejected).not.toHaveBeenCalled()
})

test('over HTTP/2 a body that a parser has read needs no length', async () => {
  const app = fastify({ http2: true })
  app.all('/trpc/*', createNodeHandler({ verifier: issuer.verifier, database, router: own }) as never)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(url)
  const stream = session.request({
    ':method': 'POST',
    ':path': '/trpc/echo',
    'content-type': 'application/json',
  })
  stream.end('{"json":"kept"}')
  expect(await text(stream)).toContain('kept')
  session.close()
  await app.close()
})

test('JSON that a parser has read and that is nested too deeply is 400', async () => {
  const app = express().use(express.json({ limit: '5mb' }))
  app.use('/trpc', createNodeHandler({ verifier: issuer.verifier, database, router: own }))
  await using server = await listen(createServer(app))
  const body = '['.repeat(400_000) + ']'.repeat(400_000)
  const headers = { 'content-type': 'application/json' }
  expect((await fetch(`${server.url}/trpc/echo`, { method: 'POST', body, headers })).status).toBe(400)
})

test.each([
  ['maxBodySize', Number.NaN],
  ['maxBodySize', '1mb'],
  ['maxBodySize', 0],
  ['maxBatchSize', -1],
  ['maxBatchSize', 1.5],
])('%s: %s is refused', (name, limit) => {
  const options = { verifier: issuer.verifier, database, [name]: limit }
  expect(() => createFetchHandler(options)).toThrow(`${name}: ${limit} is not a whole number from 1.`)
})
