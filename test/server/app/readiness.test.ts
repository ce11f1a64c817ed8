import { afterAll, beforeAll, expect, inject, onTestFinished, test, vi } from 'vitest'

import { startRemote } from '../../parts/app.js'
import { emptyDatabase, migrate, migratedDatabase } from '../../parts/database.js'
import { bearer, send } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'
import { startPostgresProxy } from '../../parts/postgres-proxy.js'
import { runSql } from '../../parts/run-sql.js'
import { waitFor } from '../../parts/wait-for.js'

let database: Awaited<ReturnType<typeof migratedDatabase>>
beforeAll(async () => {
  database = await migratedDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

async function readinessOf(url: string) {
  const response = await send(url, '/readyz')
  return { status: response.status, ...JSON.parse(await response.text()) }
}

/** Waits until the server is ready again without a restart. */
const recovers = (url: string) =>
  waitFor(async () => expect(await readinessOf(url)).toMatchObject({ status: 200 }), {
    timeout: 10_000,
    interval: 100,
  })

const isAlive = async (url: string) => (await send(url, '/healthz')).status

test('a complete server is ready and shows the state of the keys', async () => {
  await using issuer = await startIssuer()
  await using app = await startRemote(issuer, { DATABASE_URL: database.url })
  await recovers(app.url)
  expect(await isAlive(app.url)).toBe(200)
  expect(await readinessOf(app.url)).toMatchObject({
    status: 200,
    ready: true,
    database: 'ok',
    keys: 'ok',
    keySet: { keys: expect.any(Number), age: expect.any(Number), lastError: null },
  })
})

test('before the migration it is not ready and says what to run; afterwards it recovers by itself', async () => {
  await using issuer = await startIssuer()
  await using empty = await emptyDatabase()
  await using app = await startRemote(issuer, { DATABASE_URL: empty.url })
  expect(await isAlive(app.url)).toBe(200)
  expect(await readinessOf(app.url)).toMatchObject({
    status: 503,
    ready: false,
    database: expect.stringContaining('npx trpc-bearer migrate'),
    keys: 'ok',
  })
  await migrate(empty.url)
  await recovers(app.url)
  const headers = [bearer(await issuer.tokenFor('alice'))]
  expect((await send(app.url, '/trpc/tasks.list', { headers })).status).toBe(200)
})

if (process.env.LONG_TESTS) {
  test('gaps in the isolation make it not ready, with their number and what to run', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    await using issuer = await startIssuer()
    await using own = await migratedDatabase()
    await using app = await startRemote(issuer, { DATABASE_URL: own.url })
    await recovers(app.url)
    for (const [object, count] of [
      ['table one', '1 gap'],
      ['table two', '2 gaps'],
    ]) {
      await runSql(own.url, `create ${object} (body text)`, `grant select on ${object} to app_user`)
      // A report is at most ten seconds old.
      vi.setSystemTime(Date.now() + 10_001)
      expect(await readinessOf(app.url)).toMatchObject({
        status: 503,
        ready: false,
        database: `The database does not keep users apart (${count}): run npx trpc-bearer fence.`,
      })
    }
    vi.useRealTimers()
  })
}

if (process.env.LONG_TESTS) {
  test('a database that appears, disappears and returns needs no restart', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    await using issuer = await startIssuer()
    await using proxy = await startPostgresProxy(database.url)
    proxy.close()
    await using app = await startRemote(issuer, { DATABASE_URL: proxy.url })
    const headers = [bearer(await issuer.tokenFor('alice'))]
    const list = async () => (await send(app.url, '/trpc/tasks.list', { headers })).status
    const away = { status: 503, ready: false, database: expect.stringContaining('DATABASE_URL'), keys: 'ok' }

    expect(await isAlive(app.url)).toBe(200)
    expect(await readinessOf(app.url)).toMatchObject(away)
    expect(await list()).toBe(503)

    proxy.open()
    await recovers(app.url)
    expect(await list()).toBe(200)

    proxy.close()
    expect(await list()).toBe(503)
    // A report is at most ten seconds old.
    vi.setSystemTime(Date.now() + 10_001)
    expect(await readinessOf(app.url)).toMatchObject(away)
    expect(await isAlive(app.url)).toBe(200)

    proxy.open()
    await recovers(app.url)
    expect(await list()).toBe(200)
  })
}

test('the name of a missing database is not shown', async () => {
  await using issuer = await startIssuer()
  const url = new URL(inject('postgresUrl'))
  url.pathname = '/no_such_database_hunter2'
  await using app = await startRemote(issuer, { DATABASE_URL: url.href })
  const response = await send(app.url, '/readyz')
  expect(response.status).toBe(503)
  expect(await response.text()).not.toMatch(/hunter2/)
})

test('while the issuer is unreachable it says what to check; afterwards it recovers by itself', async () => {
  await using issuer = await startIssuer({ mode: 'away' })
  await using app = await startRemote(issuer, { DATABASE_URL: database.url })
  expect(await isAlive(app.url)).toBe(200)
  expect(await readinessOf(app.url)).toMatchObject({
    status: 503,
    ready: false,
    database: 'ok',
    keys: expect.stringMatching(/BETTER_AUTH_URL.*JWKS_URL/),
    keySet: { keys: 0, age: null, lastError: 'unreachable' },
  })
  const text = await (await send(app.url, '/readyz')).text()
  expect(text).toContain(`from ${issuer.url}/api/auth/jwks: check`)
  issuer.mode = 'up'
  await recovers(app.url)
})

test('it stays ready while the issuer is down, as long as its keys may be used', async () => {
  await using issuer = await startIssuer()
  await using app = await startRemote(issuer, { DATABASE_URL: database.url })
  await recovers(app.url)
  issuer.mode = 'away'
  expect(await readinessOf(app.url)).toMatchObject({ status: 200, ready: true })
  const headers = [bearer(await issuer.tokenFor('alice'))]
  expect((await send(app.url, '/trpc/me', { headers })).status).toBe(200)
})

test('a JWKS_URL that returns a page without keys makes it not ready', async () => {
  await using issuer = await startIssuer()
  await using other = await startRemote(issuer)
  await using app = await startRemote(issuer, {
    DATABASE_URL: database.url,
    JWKS_URL: `${other.url}/`,
    JWT_ISSUER: 'them',
    JWT_AUDIENCE: 'us',
  })
  expect(await readinessOf(app.url)).toMatchObject({ status: 503, keys: expect.stringContaining('JWKS_URL') })
})
