import { afterAll, beforeAll, expect, test } from 'vitest'
import { startApp, startRemote } from '../../parts/app.js'
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

const metrics = async () => (await send(app.url, '/metrics')).text()

/** The counts of calls, by procedure and outcome. */
async function counts(): Promise<Record<string, number>> {
  const line = /^trpc_call_duration_seconds_count\{procedure="(.*?)",outcome="(.*?)"\} (\d+)$/gm
  const found = [...(await metrics()).matchAll(line)]
  return Object.fromEntries(
    found.map(([, procedure, outcome, count]) => [`${procedure} ${outcome}`, Number(count)]),
  )
}

/** The counts that a request adds. */
async function added(path: string, sent?: Sent): Promise<Record<string, number>> {
  const before = await counts()
  await send(app.url, path, sent)
  const after = Object.entries(await counts())
  return Object.fromEntries(
    after.map(([key, count]) => [key, count - (before[key] ?? 0)] as const).filter(([, count]) => count > 0),
  )
}

test('the format is that of Prometheus, with the pool and the age of the keys', async () => {
  await send(app.url, '/trpc/me', { headers: [alice] })
  const response = await send(app.url, '/metrics')
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  for (const state of ['total', 'idle', 'waiting']) {
    expect(text).toMatch(new RegExp(`^database_pool_connections\\{state="${state}"\\} \\d+$`, 'm'))
  }
  expect(text).toMatch(/^jwks_age_seconds [\d.]+$/m)
  expect(text).toMatch(/^trpc_call_duration_seconds_bucket\{le=.*procedure="me",outcome="ok"\} 1$/m)
})

test('the age of keys that were never fetched is NaN', async () => {
  await using away = await startIssuer({ mode: 'away' })
  await using remote = await startRemote(away)
  expect(await (await send(remote.url, '/metrics')).text()).toMatch(/^jwks_age_seconds Nan$/im)
})

const input = (value: unknown) => encodeURIComponent(JSON.stringify(value))
const id = '11111111-1111-4111-8111-111111111111'

test.each<[path: string, sent: () => Sent, added: Record<string, number>]>([
  ['/trpc/health', () => ({}), { 'health ok': 1 }],
  ['/trpc/me', () => ({}), { 'me missing': 1 }],
  ['/trpc/me', () => ({ headers: [['authorization', 'Basic x']] }), { 'me malformed': 1 }],
  ['/trpc/me', () => ({ headers: [alice] }), { 'me ok': 1 }],
  ['/trpc/health,me,health?batch=1&input=%7B%7D', () => ({}), { 'health ok': 2, 'me missing': 1 }],
  ['/trpc/tasks.get', () => ({ headers: [alice] }), { 'tasks.get BAD_REQUEST': 1 }],
  [
    `/trpc/tasks.get?input=${input({ json: { id } })}`,
    () => ({ headers: [alice] }),
    { 'tasks.get NOT_FOUND': 1 },
  ],
  ['/trpc/tasks.create', () => ({}), { 'tasks.create METHOD_NOT_SUPPORTED': 1 }],
  ['/trpc/nothing', () => ({}), { 'unknown NOT_FOUND': 1 }],
  ['/trpc/a/b', () => ({}), { 'unknown NOT_FOUND': 1 }],
  ['/trpc/%ff', () => ({}), { 'unknown BAD_REQUEST': 1 }],
  ['/trpc/me', () => json('x'.repeat(1_048_576)), { 'unknown PAYLOAD_TOO_LARGE': 1 }],
  ['/trpc/me', () => ({ method: 'POST' }), { 'unknown UNSUPPORTED_MEDIA_TYPE': 1 }],
  ['/trpc/me', () => ({ method: 'DELETE' }), { 'unknown METHOD_NOT_SUPPORTED': 1 }],
])('%s is counted by procedure and outcome', async (path, sent, expected) => {
  expect(await added(path, sent())).toEqual(expected)
})

test('a caller cannot create a new label', async () => {
  const labels = async () =>
    [...(await metrics()).matchAll(/^(\w+\{.*?\}) /gm)].map(([, label]) => label).sort()
  const invented = Array.from({ length: 100 }, (_, i) => `invented${i}`)
  await send(app.url, '/trpc/invented')
  await send(app.url, '/trpc/health,invented?batch=1&input=%7B%7D')
  const before = await labels()

  for (const name of invented) await send(app.url, `/trpc/${name}`, { method: 'GET' })
  for (const name of invented.slice(0, 10)) {
    await send(app.url, `/trpc/${name},${name}.x,health?batch=1&input=%7B%7D`)
    await send(app.url, `/trpc/__proto__,constructor,${name}"}?batch=1`)
    await send(app.url, `/trpc/${name}`, json({ json: name }))
    await send(app.url, `/trpc/health?${name}=${name}`, { headers: [['x-request-id', name]] })
    await send(app.url, `/${name}`)
  }
  expect(await labels()).toEqual(before)
  expect(await metrics()).not.toContain('invented')
})

test('it contains no user, no token and no address', async () => {
  await send(app.url, '/trpc/me', { headers: [alice] })
  const text = await metrics()
  expect(text).not.toContain('alice')
  expect(text).not.toContain(alice[1].slice(7, 40))
  expect(text).not.toContain(issuer.url)
})
