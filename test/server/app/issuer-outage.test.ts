import { expect, test } from 'vitest'
import { startRemote } from '../../parts/app.js'
import { migratedDatabase } from '../../parts/database.js'
import { bearer, send } from '../../parts/http-client.js'
import { claimsFrom, makeKey, startIssuer } from '../../parts/issuer.js'
import { waitFor } from '../../parts/wait-for.js'

test('a server whose issuer was never reachable says so, and recovers without a restart; later it stays ready', async () => {
  const issuer = await startIssuer()
  const token = await issuer.tokenFor('alice')
  await issuer.close()

  await using database = await migratedDatabase()
  await using api = await startRemote(issuer, { DATABASE_URL: database.url })
  const call = () => send(api.url, '/trpc/me', { headers: [bearer(token)] })
  const readiness = async () => {
    const response = await send(api.url, '/readyz')
    return { status: response.status, ...JSON.parse(await response.text()) }
  }
  expect(await readiness()).toMatchObject({
    status: 503,
    ready: false,
    database: 'ok',
    keySet: { keys: 0, age: null, lastError: 'unreachable' },
  })
  const refused = await call()
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
  expect(refused.headers.get('www-authenticate')).toBeNull()
  expect(await refused.text()).toContain('"reason":"keys_unavailable"')
  expect((await send(api.url, '/healthz')).status).toBe(200)

  await issuer.open()
  const patience = { timeout: 15_000, interval: 100 }
  await waitFor(async () => expect(await readiness()).toMatchObject({ status: 200, ready: true }), patience)
  expect(await readiness()).toMatchObject({ keySet: { keys: 1, age: expect.any(Number), lastError: null } })
  expect((await call()).status).toBe(200)

  await issuer.close()
  const unknown = await (await makeKey()).sign(claimsFrom(issuer.url))
  const sentAway = await send(api.url, '/trpc/me', { headers: [bearer(unknown)] })
  expect([sentAway.status, sentAway.headers.get('retry-after')]).toEqual([
    503,
    expect.stringMatching(/^\d+$/),
  ])
  expect((await call()).status).toBe(200)
  expect(await readiness()).toMatchObject({ status: 200, keySet: { keys: 1, lastError: 'unreachable' } })
})
