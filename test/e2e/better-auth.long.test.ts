import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createClient } from '../../client/index.js'
import { readConfig, startServer } from '../../server/index.js'
import { refusalOf } from '../parts/api-error.js'
import { signUp, startBetterAuth } from '../parts/better-auth.js'
import { emptyDatabase, migratedDatabase } from '../parts/database.js'
import { startTypeScript } from '../parts/program.js'
import { runSql } from '../parts/run-sql.js'
import { waitFor } from '../parts/wait-for.js'

let database: Awaited<ReturnType<typeof emptyDatabase>>
beforeAll(async () => {
  database = await migratedDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

/** The API as a team runs it: its own PostgreSQL, and the issuer by its URL. */
async function startApi(issuerUrl: string) {
  const config = readConfig({
    PORT: '0',
    LOG_LEVEL: 'silent',
    DATABASE_URL: database.url,
    BETTER_AUTH_URL: issuerUrl,
  })
  const server = await startServer(config)
  return {
    url: server.url,
    as: (getToken: () => Promise<string>) => createClient({ url: `${server.url}/trpc`, getToken }),
    [Symbol.asyncDispose]: () => server.close(),
  }
}

describe.each(['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256'])(
  'a Better Auth elsewhere that signs with %s',
  algorithm => {
    test('the quickstart passes', async () => {
      await using own = await emptyDatabase()
      await using issuer = await startBetterAuth(own.url, { algorithm })
      await using api = await startApi(issuer.url)
      const env = { API_URL: api.url, BETTER_AUTH_URL: issuer.url }
      await using quickstart = startTypeScript('examples/quickstart/main.ts', env)
      expect(await quickstart.ended).toMatchObject({ code: 0, stderr: '' })
      const answer = await fetch(`${issuer.url}/api/auth/jwks`)
      // Two calls at once may make Better Auth mint two keys.
      const { keys } = (await answer.json()) as { keys: { alg: string }[] }
      expect([...new Set(keys.map(({ alg }) => alg))]).toEqual([algorithm])
    })
  },
)

describe('keys of a Better Auth elsewhere', () => {
  test('that rotate: the new key is accepted by the very request that brings it, and the old one still', async () => {
    await using own = await emptyDatabase()
    await using issuer = await startBetterAuth(own.url)
    await using api = await startApi(issuer.url)
    const getToken = await signUp(issuer.url, 'rita')
    const before = await getToken()
    const { id } = await api.as(async () => before).me.query()

    await expireKeys(own.url)
    const after = await getToken()
    expect(keyOf(after)).not.toBe(keyOf(before))
    expect((await api.as(async () => after).me.query()).id).toBe(id)
    expect((await api.as(async () => before).me.query()).id).toBe(id)
  })

  test('that were never fetched: 503 and not 401 while it is away, and again its users when it is back', async () => {
    await using own = await emptyDatabase()
    await using first = await startBetterAuth(own.url)
    const token = await (await signUp(first.url, 'otto'))()
    await first.stop()

    await using api = await startApi(first.url)
    const otto = api.as(async () => token)
    const { data } = await refusalOf(otto.me.query())
    expect(data).toMatchObject({ code: 'SERVICE_UNAVAILABLE', httpStatus: 503, reason: 'keys_unavailable' })
    const refused = await fetch(`${api.url}/trpc/me`, { headers: { authorization: `Bearer ${token}` } })
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(refused.headers.get('www-authenticate')).toBeNull()
    expect((await fetch(`${api.url}/readyz`)).status).toBe(503)
    expect(await otto.health.query()).toEqual({ ok: true })

    await using _second = await startBetterAuth(own.url, { port: new URL(first.url).port })
    // It is asked again once the back-off is over, which may still go on.
    const me = await waitFor(() => otto.me.query(), { timeout: 10_000, interval: 250 })
    expect(me).toMatchObject({ name: 'otto' })
    expect((await fetch(`${api.url}/readyz`)).status).toBe(200)
  })
})

/** Better Auth mints a key when it signs and the latest one has expired. */
async function expireKeys(url: string) {
  const expired = await runSql(url, `update jwks set "expiresAt" = now() - interval '1 second' returning id`)
  expect(expired).toHaveLength(1)
}

function keyOf(token: string): unknown {
  const [header = ''] = token.split('.')
  return JSON.parse(Buffer.from(header, 'base64url').toString()).kid
}
