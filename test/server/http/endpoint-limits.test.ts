import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startApp } from '../../parts/app.js'
import { bearer, json, type Sent, send } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'

let issuer: Awaited<ReturnType<typeof startIssuer>>
let app: Awaited<ReturnType<typeof startApp>>
let alice: [string, string]
beforeAll(async () => {
  issuer = await startIssuer()
  app = await startApp('PostgreSQL', { BETTER_AUTH_URL: issuer.url })
  alice = bearer(await issuer.tokenFor('alice'))
})
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await issuer[Symbol.asyncDispose]()
})

const as = (headers: [string, string], sent: Sent): Sent => ({
  ...sent,
  headers: [headers, ...(sent.headers ?? [])],
})
const refusal = (code: string) => ({ error: { json: { data: { code } } } })
const contentType = (value: string): [string, string] => ['content-type', value]

const megabyte = 1_048_576
const padded = (bytes: number, title = 'padded') => {
  const task = JSON.stringify({ json: { title } })
  return task + ' '.repeat(bytes - Buffer.byteLength(task))
}
const withLength = (body: string): Sent => ({
  method: 'POST',
  headers: [contentType('application/json'), ['content-length', String(Buffer.byteLength(body))]],
  body,
})
const inChunks = (body: string): Sent => ({ ...withLength(body), headers: [contentType('application/json')] })

describe.each([
  ['with its length announced', withLength],
  ['in chunks', inChunks],
])('a body %s', (_, sent) => {
  test('of exactly 1 MB passes', async () => {
    const response = await send(app.url, '/trpc/tasks.create', as(alice, sent(padded(megabyte))))
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ result: { data: { json: { title: 'padded' } } } })
  })

  test('of one byte more is 413', async () => {
    const response = await send(app.url, '/trpc/tasks.create', as(alice, sent(padded(megabyte + 1))))
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject(refusal('PAYLOAD_TOO_LARGE'))
  })

  test('is measured in bytes, not in characters', async () => {
    const body = JSON.stringify({ json: { title: 'long', notes: '€'.repeat(megabyte / 2) } })
    const response = await send(app.url, '/trpc/tasks.create', as(alice, sent(body)))
    expect(response.status).toBe(413)
  })

  test('that is too large does not stop the server', async () => {
    await send(app.url, '/trpc/tasks.create', sent(padded(3 * megabyte)))
    expect((await send(app.url, '/trpc/health')).status).toBe(200)
  })
})

describe('a body', () => {
  test.each([
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['application/json-patch+json'],
    ['text/json, application/json'],
    [''],
  ])('with content-type %j is 415', async type => {
    const sent = { ...withLength(padded(100)), headers: [contentType(type)] }
    const response = await send(app.url, '/trpc/tasks.create', as(alice, sent))
    expect(response.status).toBe(415)
    expect(await response.json()).toMatchObject(refusal('UNSUPPORTED_MEDIA_TYPE'))
  })

  test('without a content-type is 415', async () => {
    const response = await send(
      app.url,
      '/trpc/tasks.create',
      as(alice, { method: 'POST', body: padded(100) }),
    )
    expect(response.status).toBe(415)
  })

  test.each(['application/json; charset=utf-8', 'Application/JSON'])('of %s is JSON', async type => {
    const sent = { ...withLength(padded(100)), headers: [contentType(type)] }
    expect((await send(app.url, '/trpc/tasks.create', as(alice, sent))).status).toBe(200)
  })

  test('that is empty JSON is accepted if the procedure has no input', async () => {
    const response = await send(app.url, '/trpc/tasks.clearCompleted', as(alice, withLength('')))
    expect(response.status).toBe(200)
  })

  test.each([
    '{',
    '{"json":{"title":"x"}} trailing',
    '[]',
    'null',
    '"text"',
    '{"title":"not superjson"}',
    '\u0000',
  ])('with the content %j is 400', async body => {
    const response = await send(app.url, '/trpc/tasks.create', as(alice, withLength(body)))
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject(refusal('BAD_REQUEST'))
  })

  test.each(['{', '[]', 'null', '1', '""'])('of a batch with the content %j is 400', async body => {
    const response = await send(app.url, '/trpc/tasks.create?batch=1', as(alice, withLength(body)))
    expect(response.status).toBe(400)
  })
})

describe('a batch', () => {
  const health = (count: number) => `/trpc/${Array(count).fill('health').join(',')}?batch=1`
  const reads: [title: string, path: (count: number) => string, sent: Sent][] = [
    ['by GET', count => `${health(count)}&input=%7B%7D`, {}],
    ['by POST', health, json({})],
  ]

  test.each(reads)('of 50 calls is answered %s', async (_, path, sent) => {
    const response = await send(app.url, path(50), sent)
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual(Array(50).fill({ result: { data: { json: { ok: true } } } }))
  })

  test.each(reads)('of 51 calls is 400 %s', async (_, path, sent) => {
    expect((await send(app.url, path(51), sent)).status).toBe(400)
  })
})

describe('the method', () => {
  test('POST works for a query and its input too', async () => {
    const response = await send(app.url, '/trpc/tasks.list', as(alice, json({ json: { limit: 1 } })))
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ result: { data: { json: { items: expect.any(Array) } } } })
  })

  test('GET of a mutation is 405 and changes nothing', async () => {
    const bob = bearer(await issuer.tokenFor('bob'))
    const input = encodeURIComponent(JSON.stringify({ json: { title: 'by GET' } }))
    const response = await send(app.url, `/trpc/tasks.create?input=${input}`, as(bob, {}))
    expect(response.status).toBe(405)
    expect(await response.json()).toMatchObject(refusal('METHOD_NOT_SUPPORTED'))
    const list = await send(app.url, '/trpc/tasks.list', as(bob, {}))
    expect(await list.json()).toMatchObject({ result: { data: { json: { items: [] } } } })
  })

  test.each(['PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND'])(
    '%s is 405 with the allowed methods',
    async method => {
      const response = await send(app.url, '/trpc/health', { method })
      expect(response.status).toBe(405)
      expect(response.headers.get('allow')).toBe('GET, HEAD, POST')
      expect(await response.json()).toMatchObject(refusal('METHOD_NOT_SUPPORTED'))
    },
  )

  test('HEAD has no body', async () => {
    const response = await send(app.url, '/trpc/health', { method: 'HEAD' })
    expect(response.ok).toBe(true)
    expect(await response.text()).toBe('')
  })
})

describe('a malformed URL', () => {
  test.each(['/trpc/%', '/trpc/%E0%A4%A', '/trpc/health,%ff?batch=1'])('%s is 400', async path => {
    expect((await send(app.url, path)).status).toBe(400)
  })

  test.each(['%', '%E0%A4%A', 'nonsense', '%7B', '%5B%5D'])('tasks.get?input=%s is 400', async input => {
    const response = await send(app.url, `/trpc/tasks.get?input=${input}`, as(alice, {}))
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject(refusal('BAD_REQUEST'))
  })
})
