import { createServer } from 'node:http'
import express from 'express'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { createNodeHandler } from '../../../server/index.js'
import { startRemote } from '../../parts/app.js'
import { nowhere } from '../../parts/database.js'
import { sendBytes } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'
import { listen } from '../../parts/listen.js'

const issuer = await startIssuer()
const token = await issuer.tokenFor('alice')
const stops: AsyncDisposable[] = [issuer]
const urls = { server: '', node: '', express: '' }

beforeAll(async () => {
  const server = await startRemote(issuer)
  // The pool connects on demand, so nothing connects here.
  const database = await openDatabase({ url: nowhere })
  const handler = createNodeHandler({ verifier: issuer.verifier, database, onError() {} })
  const node = await listen(createServer(handler))
  const app = express()
  app.use('/trpc', handler)
  const mounted = await listen(createServer(app))
  Object.assign(urls, { server: server.url, node: node.url, express: mounted.url })
  stops.unshift(server, node, mounted, { [Symbol.asyncDispose]: database.close })
})
afterAll(async () => {
  for (const stop of stops) await stop[Symbol.asyncDispose]()
})

const ask = (url: string, target: string, method = 'GET') =>
  sendBytes(
    url,
    `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`,
  )

test.each([
  ['server', '/healthz', 200],
  ['server', '/metrics', 200],
  ['server', '/trpc/health', 200],
  ['server', '/readyz', 503],
  ['node', '/trpc/health', 200],
  ['express', '/trpc/health', 200],
] as const)(
  'an old health checker that sends HTTP/1.0 without Host to %s%s gets %i',
  async (host, target, status) => {
    expect((await sendBytes(urls[host], `GET ${target} HTTP/1.0\r\n\r\n`)).status).toBe(status)
  },
)

/** Paths that a URL parser changes. A proxy compares the path as it was sent. */
const spellings = [
  '/trpc/../metrics',
  '/trpc/./../metrics',
  '/trpc/me/../../metrics',
  '/trpc/%2e%2e/metrics',
  '/trpc/%2E%2E/metrics',
  '/trpc/%2e%2E/metrics',
  '/trpc/%2e./metrics',
  '/trpc/.%2e/metrics',
  '/trpc/.%2E/metrics',
  '/trpc/%2e/%2e%2e/metrics',
  '/trpc/x/%2e%2e/%2e%2e/metrics?x=1',
  '/trpc/..\\metrics',
  '/trpc\\..\\metrics',
  '/trpc/\\../metrics',
  '/trpc/%2e%2e\\metrics',
  '\\metrics',
  '/trpc/.\t./metrics',
  '/trpc/%2\te%2e/metrics',
  '/trpc/..\f/metrics',
  '/me\ttrics',
  '/./metrics',
  '/%2e/metrics',
  '/%2E/metrics',
  '/../metrics',
  '/..//metrics',
  '/metrics/.',
  '/metrics/x/..',
  '/metrics/%2e',
  '/metrics#',
  '/metrics#/trpc/me',
  '/trpc/../trpc/me',
  '/trpc/./me',
  '/trpc/%2e/me',
  '/trpc/x/../me',
  '/trpc/x/%2e%2e/me',
  '/trpc/../me',
  '/trpc/me/.',
  '/trpc/me#',
  '/trpc/me#/../../metrics',
  '/./trpc/me',
  '/%2e%2e/trpc/me',
  '/trpc/m\xe9',
  '/trpc/"me"',
  '/trpc/{me}',
  '/trpc/<me>',
  'http://localhost/trpc/../metrics',
  'http://localhost/trpc/%2e%2e/metrics',
  'HTTP://localhost/trpc/%2E%2e/metrics',
  'https://localhost/trpc/../metrics',
  'http://localhost\\metrics',
  'http:\\\\localhost/metrics',
  'http:/localhost/metrics',
  'http:localhost/metrics',
  'http:///localhost/metrics',
  'http://localhost/trpc/x/../me',
  'http://anybody@localhost/trpc/me',
  'http://localhost:80@localhost/trpc/me',
  'http://localhost#/metrics',
  'ftp://localhost/metrics',
  'metrics',
  'trpc/../metrics',
  '@localhost/metrics',
  ':80/metrics',
  '*',
]

/** The paths that Express passes to a handler at `/trpc`; it answers the others itself. */
const isUnderTrpc = (target: string) => /^(http:\/\/localhost)?\/trpc\//.test(target)

describe.each(['server', 'node', 'express'] as const)('%s', name => {
  test.each(spellings)('%j is refused before routing', async target => {
    const isOwn = name !== 'express' || isUnderTrpc(target)
    for (const method of ['GET', 'OPTIONS']) {
      const { status, body } = await ask(urls[name], target, method)
      expect([method, status]).toEqual([method, isOwn ? 400 : expect.toBeOneOf([400, 404])])
      expect(body).not.toMatch(/trpc_call|alice/)
    }
  })
})

test.each(['server', 'node', 'express'] as const)('%s says what is wrong with the path', async name => {
  const { headers, body } = await ask(urls[name], '/trpc/../metrics')
  expect(body).toContain('without \\".\\" and \\"..\\" segments')
  expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
})

/** Paths that a URL parser does not change, but that other software may decode or shorten. */
const others = [
  '/trpc/..;/metrics',
  '/trpc/..%2fmetrics',
  '/trpc/..%2Fmetrics',
  '/trpc/..%5cmetrics',
  '/trpc/%252e%252e/metrics',
  '/trpc/%2e%2e%2fmetrics',
  '/trpc/...//metrics',
  '/trpc//metrics',
  '//metrics',
  '//trpc/metrics',
  '/%6detrics',
  '/%6Detric%73',
  '/%2fmetrics',
  '/metrics%00',
  '/metrics%20',
  '/metrics/',
  '/metrics;x',
  '/METRICS',
  'http://localhost//metrics',
]

test.each(others)('%j does not reach another path', async target => {
  for (const url of Object.values(urls)) {
    const { status, body } = await ask(url, target)
    expect(status).toBe(404)
    expect(body).not.toContain('trpc_call')
  }
})

const input = encodeURIComponent('{"0":{"json":{"search":"/../"}}}')
const plain: [target: string, status: number][] = [
  ['/trpc/me', 200],
  ['/trpc/me,health?batch=1', 200],
  [`/trpc/me,health?batch=1&input=${input}`, 200],
  ['/trpc/me,tasks.list?batch=1&input={}', 207],
  ['/trpc/me%2Chealth?batch=1', 200],
  ['/trpc/m%65', 200],
  ['/trpc/me?x=/../metrics', 200],
  ['/trpc/me?x=%2e%2e/..', 200],
  ['/trpc/me?x=\\..\\..', 200],
  ['/trpc/me?x#/../metrics', 200],
  ['/trpc/me?', 200],
  ['/trpc/me??', 200],
  ['http://localhost/trpc/me', 200],
  ['http://localhost/trpc/me?x=/..', 200],
  ['/trpc/..me', 404],
  ['/trpc/me..', 404],
  ['/trpc/...', 404],
  ['/trpc/%zz', 400],
  ['/trpc/', 404],
  ['/trpc/%C3%A9', 404],
]

test.each(plain)('%s is plain', async (target, status) => {
  for (const url of Object.values(urls)) expect((await ask(url, target)).status).toBe(status)
})
