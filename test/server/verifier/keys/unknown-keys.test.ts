import { exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose'
import { expect, test } from 'vitest'
import { seconds as now } from '../../../parts/clock.js'
import { away, here, key, keySet, other, startClockedVerifier } from '../../../parts/clocked-verifier.js'
import { algorithms, claimsFrom, makeKey } from '../../../parts/issuer.js'
import { encode } from '../../../security/cases/issuer-scenario.js'

test('a flood of invented kids costs five fetches at once and one in ten seconds', async () => {
  const { state, verifier, sign, outcome } = startClockedVerifier()
  await verifier.ready()
  const forge = () => sign(other, { kid: crypto.randomUUID() })
  const refused = new Set<string>()
  for (state.at = 1; state.at <= 60; state.at++)
    for (let i = 0; i < 3; i++) refused.add(await outcome(await forge()))
  expect(state.requests).toBe(1 + 5 + 6)
  expect([...refused]).toEqual(['unknown_key', 'keys_unavailable'])
  expect(await outcome(await sign(key))).toBe('accepted')
  await expect(verifier.verify(await forge())).rejects.toMatchObject({ retryAfter: 9 })
})

test('a key that was replaced under its kid is found if the set is older than half a minute', async () => {
  const { state, sign, outcome } = startClockedVerifier()
  expect(await outcome(await sign(key))).toBe('accepted')
  const replaced = await makeKey('EdDSA', key.kid)
  const token = await sign(replaced)
  state.answer = async () => keySet(replaced)
  state.at = 30
  expect([await outcome(token), state.requests]).toEqual(['signature', 1])
  state.at = 31
  expect([await outcome(token), state.requests]).toEqual(['accepted', 2])
})

test('a token without a kid is accepted if one key matches, also while an older key is being removed', async () => {
  const { state, sign, outcome, settle } = startClockedVerifier({ cache: false })
  const [old, fresh] = await Promise.all([sign(key, { kid: undefined }), sign(other, { kid: undefined })])
  expect(await outcome(old)).toBe('accepted')
  state.answer = async () => keySet(other)
  await outcome(await sign(other))
  expect(await Promise.all([outcome(old), outcome(fresh)])).toEqual(['accepted', 'accepted'])
  state.answer = async () => keySet(key, other)
  state.at = 300
  expect(await outcome(fresh)).toBe('accepted')
  await settle()
  expect(await outcome(fresh)).toBe('unknown_key')
})

test('a token without kid whose key was replaced is accepted at once, and is an outage while the issuer is away', async () => {
  const { state, sign, outcome } = startClockedVerifier()
  const [old, fresh] = await Promise.all([sign(key, { kid: undefined }), sign(other, { kid: undefined })])
  expect(await outcome(old)).toBe('accepted')
  state.answer = async () => keySet(other)
  state.at = 1
  expect(await outcome(fresh)).toBe('accepted')
  const third = await makeKey()
  const unknown = await sign(third, { kid: undefined })
  state.answer = away
  expect(await outcome(unknown)).toBe('keys_unavailable')
  expect(await outcome(fresh)).toBe('accepted')
  state.answer = async () => keySet(third)
  state.at = 2
  expect(await outcome(unknown)).toBe('accepted')
})

test('forged tokens without a kid cost as few fetches as invented kids', async () => {
  const { state, verifier, sign, outcome } = startClockedVerifier()
  await verifier.ready()
  const forged = await Promise.all(
    Array.from({ length: 9 }, (_, n) => sign(other, { kid: undefined, cty: `${n}` })),
  )
  const outcomes: string[] = []
  for (const token of forged) outcomes.push(await outcome(token))
  expect(outcomes).toEqual([...Array(5).fill('signature'), ...Array(4).fill('keys_unavailable')])
  expect(state.requests).toBe(1 + 5)
})

test('an unknown kid costs one fetch for all algorithms', async () => {
  const { state, verifier, outcome } = startClockedVerifier()
  await verifier.ready()
  const keys = await Promise.all(algorithms.map(alg => makeKey(alg, 'nobody')))
  for (const one of keys) expect(await outcome(await one.sign(claimsFrom(here)))).toBe('unknown_key')
  expect(state.requests).toBe(1 + 1)
})

test('of more than a thousand unknown kids the oldest is fetched again', async () => {
  const { state, verifier, sign, outcome } = startClockedVerifier()
  await verifier.ready()
  const token = await sign(key)
  const forged = Array.from({ length: 1_001 }, (_, n) =>
    token.replace(/^[^.]*/, encode({ alg: 'EdDSA', kid: `unknown ${n}` })),
  )
  const [first = '', last = ''] = [forged.at(0), forged.at(-1)]
  expect(new Set(await Promise.all(forged.map(outcome)))).toEqual(new Set(['unknown_key']))
  expect([await outcome(last), state.requests]).toEqual(['unknown_key', 2])
  expect([await outcome(first), state.requests]).toEqual(['unknown_key', 3])
})

test('a log shows at most 64 characters of a kid', async () => {
  const { verifier, sign } = startClockedVerifier()
  const token = await sign(other, { kid: 'k'.repeat(65) })
  await expect(verifier.verify(token)).rejects.toMatchObject({ token: { kid: 'k'.repeat(64) } })
})

test('a token without a kid is not verified with removed keys if there are several', async () => {
  const { state, verifier, sign, outcome } = startClockedVerifier({ cache: false })
  const last = await makeKey()
  const [named, nameless] = await Promise.all([sign(key), sign(key, { kid: undefined })])
  state.answer = async () => keySet(key, other)
  await verifier.ready()
  state.answer = async () => keySet(last)
  expect(await outcome(await sign(last))).toBe('accepted')
  expect(await Promise.all([named, nameless].map(outcome))).toEqual(['accepted', 'signature'])
})

test('a key whose alg changes is another key', async () => {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'rsa' }
  const sign = async (alg: string) =>
    new SignJWT(claimsFrom(here, { exp: now() + 3_600 }))
      .setProtectedHeader({ alg, kid: 'rsa' })
      .sign(await importJWK(await exportJWK(privateKey), alg))
  const [before, after] = await Promise.all([sign('RS256'), sign('PS256')])
  const { state, outcome } = startClockedVerifier()
  state.answer = async () => Response.json({ keys: [{ ...jwk, alg: 'RS256' }] })
  expect(await outcome(before)).toBe('accepted')
  state.answer = async () => Response.json({ keys: [{ ...jwk, alg: 'PS256' }] })
  expect(await outcome(after)).toBe('accepted')
  state.at = 59
  expect(await outcome(before)).toBe('accepted')
  state.at = 60
  expect(await Promise.all([before, after].map(outcome))).toEqual(['unknown_key', 'accepted'])
})
