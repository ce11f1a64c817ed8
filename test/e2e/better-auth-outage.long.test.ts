import { expect, test } from 'vitest'
import { createVerifier, type TokenError } from '../../server/verifier/index.js'
import { signUp, startBetterAuth } from '../parts/better-auth.js'
import { emptyDatabase } from '../parts/database.js'
import { runSql } from '../parts/run-sql.js'
import { encode } from '../security/cases/issuer-scenario.js'

const tokenLife = '30d'

const kidOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid

test('a Better Auth that rotates, is killed and comes back costs nobody with a known key anything', async () => {
  await using database = await emptyDatabase()
  await using first = await startBetterAuth(database.url, { tokenLife })
  const { url } = first
  const refreshes: Promise<void>[] = []
  const problems: string[] = []
  let at = 0
  const verifier = createVerifier({
    issuer: url,
    audience: url,
    cache: { maxAge: 30 * 86_400 },
    now: () => Date.now() + at * 1000,
    waitUntil: refresh => void refreshes.push(refresh),
    onProblem: problem => void problems.push(problem),
  })
  const outcome = (token: string) =>
    verifier.verify(token).then(
      () => 'accepted',
      ({ reason }: TokenError) => reason,
    )
  /** Lets the clock go on, while callers with known keys come in. */
  async function pass(seconds: number, step: number, known: string[]) {
    for (const end = at + seconds; at < end; ) {
      at += step
      const outcomes = await Promise.all(known.map(outcome))
      expect(new Set(outcomes)).toEqual(new Set(['accepted']))
      await Promise.all(refreshes)
    }
  }

  const getToken = await signUp(url, 'otto')
  const old = await getToken()
  await pass(300, 60, [old])

  await runSql(database.url, `update jwks set "expiresAt" = now() - interval '1 second'`)
  const fresh = await getToken()
  expect(kidOf(fresh)).not.toBe(kidOf(old))
  expect(await outcome(fresh)).toBe('accepted')
  await pass(600, 60, [old, fresh])

  await runSql(database.url, `delete from jwks where "expiresAt" is not null`)
  const refreshed = refreshes.length
  while (refreshes.length === refreshed) await pass(30, 30, [old, fresh])
  await pass(30, 30, [old, fresh])
  at += 31
  expect([await outcome(old), await outcome(fresh)]).toEqual(['unknown_key', 'accepted'])

  const unused = await getToken()
  await first.stop('SIGKILL')
  await pass(3_600, 60, [fresh])
  await pass(22 * 3_600, 600, [fresh])
  expect(await outcome(unused)).toBe('accepted')
  const [, claims, signature] = fresh.split('.')
  const unknown = [encode({ alg: 'EdDSA', kid: 'unknown' }), claims, signature].join('.')
  await expect(verifier.verify(unknown)).rejects.toMatchObject({
    reason: 'keys_unavailable',
    retryAfter: expect.any(Number),
  })
  expect(problems).toEqual([expect.stringContaining('/api/auth/jwks cannot be reached.')])

  await using _second = await startBetterAuth(database.url, { tokenLife, port: new URL(url).port })
  await pass(60, 60, [fresh])
  expect(verifier.status()).toMatchObject({ keys: 1, lastError: null })
  expect(await outcome(unknown)).toBe('unknown_key')
  // Nobody signed in for longer than it shows keys that have expired: it has none, and mints one when it signs.
  await runSql(database.url, `update jwks set "expiresAt" = now() - interval '40 days'`)
  expect(await (await fetch(`${url}/api/auth/jwks`)).json()).toEqual({ keys: [] })
  await pass(600, 60, [fresh])
  expect(verifier.status()).toMatchObject({ keys: 1, lastError: 'no_keys' })
  const minted = await getToken()
  expect(kidOf(minted)).not.toBe(kidOf(fresh))
  expect(await outcome(minted)).toBe('accepted')
})
