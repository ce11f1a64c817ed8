import { expect, test } from 'vitest'
import { monotonicClock } from '../../../server/verifier/clock.js'
import { away, key, keySet, other, startClockedVerifier } from '../../parts/clocked-verifier.js'

const year = 365 * 86_400

test('a monotonic clock continues from its last value if the time is set back, however often', () => {
  let time = 1_000
  const now = monotonicClock(() => time)
  const seen = [1_500, 500, 700, 100, 100, 2_000].map(at => {
    time = at
    return now()
  })
  expect(seen).toEqual([1_500, 1_500, 1_700, 1_700, 1_700, 3_600])
})

test('a clock that is set back by a day does not prolong an outage', async () => {
  const { state, verifier, sign, outcome } = startClockedVerifier()
  const token = await sign(key)
  state.at = 86_400
  state.answer = away
  expect(await outcome(token)).toBe('keys_unavailable')
  for (let i = 0; i < 9; i++) await outcome(await sign(other))
  state.at = 0
  state.answer = async () => keySet(key)
  expect(await outcome(token)).toBe('keys_unavailable')
  state.at = 1
  expect(await outcome(token)).toBe('accepted')
  expect(verifier.status()).toMatchObject({ keys: 1, age: 0 })
})

test('a clock that is set back by a year prolongs neither the bucket, nor the freshness, nor the last minute of a key', async () => {
  const { state, sign, outcome, settle } = startClockedVerifier({ cache: { maxAge: 90_000 } })
  const token = await sign(key)
  expect(await outcome(token)).toBe('accepted')
  for (let i = 0; i < 6; i++) await outcome(await sign(other, { kid: crypto.randomUUID() }))
  expect(state.requests).toBe(1 + 5)
  state.at = -year
  expect(await outcome(token)).toBe('accepted')
  expect(await outcome(await sign(other))).toBe('keys_unavailable')
  state.at += 10
  expect(await outcome(await sign(other))).toBe('unknown_key')
  state.answer = async () => keySet(other)
  state.at += 240
  expect(await outcome(token)).toBe('accepted')
  await settle()
  state.at += 59
  expect(await outcome(token)).toBe('accepted')
  state.at -= year
  expect(await outcome(token)).toBe('accepted')
  state.at += 1
  expect(await outcome(token)).toBe('unknown_key')
})

test('a clock that is set back by a year does not keep the keys of an absent issuer for longer than a day', async () => {
  const { state, verifier, sign, outcome } = startClockedVerifier()
  const token = await sign(key)
  await verifier.ready()
  state.answer = away
  state.at = -year
  expect(await outcome(token)).toBe('accepted')
  state.at += 86_400
  expect(await outcome(token)).toBe('accepted')
  state.at += 1
  expect(await outcome(token)).toBe('keys_unavailable')
})
