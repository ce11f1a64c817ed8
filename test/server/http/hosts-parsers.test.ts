import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFetchHandler, createNodeHandler } from '../../../server/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { bearer, json, type Sent, send } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'
import { listen } from '../../parts/listen.js'

let issuer: Awaited<ReturnType<typeof startIssuer>>
let database: Awaited<ReturnType<typeof openTestDatabase>>
let sent: Sent
let unannounced: Sent['headers']
let parts: Parameters<typeof createNodeHandler>[0]
beforeAll(async () => {
  issuer = await startIssuer()
  database = await openTestDatabase('PostgreSQL')
  parts = { verifier: issuer.verifier, database }
  const task = json({ json: { title: 'milk' } })
  sent = { ...task, headers: [bearer(await issuer.tokenFor('alice')), ...task.headers] }
  unannounced = sent.headers?.filter(([name]) => name !== 'content-length')
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await issuer[Symbol.asyncDispose]()
})

const request = () =>
  new Request('https://api.example.com/trpc/tasks.create', {
    ...sent,
    headers: Object.fromEntries(sent.headers ?? []),
  })

describe('a body that was already read is 400, and the answer says where to mount the handler', () => {
  const advice = expect.stringMatching(/Mount .* before/)
  const refused = { error: { json: { message: advice, data: { code: 'BAD_REQUEST' } } } }

  test('by the Fetch handler', async () => {
    const read = request()
    await read.text()
    const response = await createFetchHandler(parts)(read)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject(refused)
  })

  test('in Hono', async () => {
    const handler = createFetchHandler(parts)
    const app = new Hono()
    app.use(async (c, next) => {
      await c.req.text()
      await next()
    })
    app.all('/trpc/*', c => handler(c.req.raw))
    await using server = await listen(createServer(getRequestListener(app.fetch)))
    const response = await send(server.url, '/trpc/tasks.create', sent)
    expect(await response.json()).toMatchObject(refused)
    expect((await send(server.url, '/trpc/health')).status).toBe(200)
  })

  test('in Express', async () => {
    const app = express()
    app.use(async (req, _res, next) => {
      await req.toArray()
      next()
    })
    app.use('/trpc', createNodeHandler(parts))
    await using server = await listen(createServer(app))
    const response = await send(server.url, '/trpc/tasks.create', sent)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject(refused)
    expect((await send(server.url, '/trpc/health')).status).toBe(200)
  })
})

test('a body of which a clone was read is accepted', async () => {
  const original = request()
  await original.clone().text()
  expect((await createFetchHandler(parts)(original)).status).toBe(200)
})

test.each(['null', '[]', '"text"', '1'])('the body %s from a parser is 400', async body => {
  const app = express()
    .use(express.json({ strict: false }))
    .use('/trpc', createNodeHandler(parts))
  await using server = await listen(createServer(app))
  expect((await send(server.url, '/trpc/tasks.create', { ...sent, headers: unannounced, body })).status).toBe(
    400,
  )
})

test.each([
  [
    'is used, with its other keys',
    '{"0":{"json":{"title":"a","other":1}},"length":3}',
    { result: { data: { json: { title: 'a' } } } },
  ],
  [
    'is refused with a name that no answer may have',
    '{"0":{"json":{"title":"a","__proto__":{"title":"b"},"constructor":1}},"length":3}',
    { error: { json: { message: 'Invalid input: the property name __proto__ is not accepted' } } },
  ],
])('the body of a batch from a parser %s', async (_, body, answer) => {
  const app = express().use(express.json()).use('/trpc', createNodeHandler(parts))
  await using server = await listen(createServer(app))
  const response = await send(server.url, '/trpc/tasks.create?batch=1', {
    ...sent,
    headers: unannounced,
    body,
  })
  expect(await response.json()).toMatchObject([answer])
})

test('a body of more than 1 MB from a parser is 413, without content-length too', async () => {
  const app = express().use(express.text({ type: '*/*', limit: '5mb' }))
  app.use('/trpc', createNodeHandler(parts))
  await using server = await listen(createServer(app))
  const body = JSON.stringify({ json: { title: 'x', notes: 'x'.repeat(1_048_576) } })
  expect((await send(server.url, '/trpc/tasks.create', { ...sent, headers: unannounced, body })).status).toBe(
    413,
  )
})
