import { expect, test } from 'vitest'
import { algorithms, claimsFrom, makeKey } from './parts/keys.js'
import { away, here, key, keySet, other, startTold } from './parts/told-issuer.js'

test('a flood of kids that nobody has costs five fetches at once and one in ten seconds', async () => {
  const { state, verifier, sign, outcome } = startTold()
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

test('a key under the kid of another is found once the set is older than half a minute', async () => {
  const { state, sign, outcome } = startTold()
  expect(await outcome(await sign(key))).toBe('accepted')
  const replaced = await makeKey('EdDSA', key.kid)
  const token = await sign(replaced)
  state.answer = async () => keySet(replaced)
  state.at = 30
  expect([await outcome(token), state.requests]).toEqual(['signature', 1])
  state.at = 31
  expect([await outcome(token), state.requests]).toEqual(['accepted', 2])
})

test('a token without kid counts where one key fits, also while the one before it leaves', async () => {
  const { state, sign, outcome, settle } = startTold({ cache: false })
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

test('a token without kid whose key was replaced is accepted at once, and no verdict while nobody can be asked', async () => {
  const { state, sign, outcome } = startTold()
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

test('whoever signs tokens without kid at random makes us ask as seldom as whoever invents kids', async () => {
  const { state, verifier, sign, outcome } = startTold()
  await verifier.ready()
  const forged = await Promise.all(
    Array.from({ length: 9 }, (_, n) => sign(other, { kid: undefined, cty: `${n}` })),
  )
  const outcomes: string[] = []
  for (const token of forged) outcomes.push(await outcome(token))
  expect(outcomes).toEqual([...Array(5).fill('signature'), ...Array(4).fill('keys_unavailable')])
  expect(state.requests).toBe(1 + 5)
})

test('a kid is asked about once, whatever algorithms its tokens name', async () => {
  const { state, verifier, outcome } = startTold()
  await verifier.ready()
  const keys = await Promise.all(algorithms.map(alg => makeKey(alg, 'nobody')))
  for (const one of keys) expect(await outcome(await one.sign(claimsFrom(here)))).toBe('unknown_key')
  expect(state.requests).toBe(1 + 1)
})
