import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import type { CacheOptions } from '../../../server/verifier/index.js'
import { steadyClock } from '../../../server/verifier/steady-clock.js'
import { away, key, keySet, other, startClockedVerifier } from '../../parts/clocked-verifier.js'

const year = 365 * 86_400

test('a steady clock goes on from where it was when the time is set back, however often', () => {
  let time = 1_000
  const now = steadyClock(() => time)
  const seen = [1_500, 500, 700, 100, 100, 2_000].map(at => {
    time = at
    return now()
  })
  expect(seen).toEqual([1_500, 1_500, 1_700, 1_700, 1_700, 3_600])
})

test('a clock that is set back by a day locks nobody out', async () => {
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

test('a clock that is set back by a year prolongs nothing: not the bucket, not the freshness, not the last minute of a key', async () => {
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

test('a clock that is set back by a year does not keep the keys of an issuer that is away for longer than a day', async () => {
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

/** Counts how often a token is verified: the user is made then, and remembered. */
function counted(options: CacheOptions) {
  const made = vi.fn(({ sub }: { sub: string }) => ({ id: sub }))
  const user = z.object({ sub: z.string() }).transform(made)
  return {
    ...startClockedVerifier({ keys: [key.jwk], user, cache: options }),
    verified: () => made.mock.calls.length,
  }
}

test('a verdict is known for its time, and no longer when the clock is set back meanwhile', async () => {
  const { state, sign, outcome, verified } = counted({ maxAge: 60 })
  const token = await sign(key)
  for (const [at, times] of [
    [0, 1],
    [-year, 1],
    [59 - year, 1],
    [60 - year, 2],
  ] as const) {
    state.at = at
    expect([await outcome(token), verified()]).toEqual(['accepted', times])
  }
})

test.each([
  ['it is said', 2, 1],
  ['their length allows: 1,024 characters on average', 8, 2_500],
])(
  'as many verdicts are known as %s, and the one that was used last stays',
  async (_, maxEntries, length) => {
    const { sign, outcome, verified } = counted({ maxEntries })
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map(cty => sign(key, { cty: cty.repeat(length) })))
    for (const [token = '', times] of [
      [a, 1],
      [b, 2],
      [a, 2],
      [c, 3],
      [a, 3],
      [b, 4],
    ] as const)
      expect([await outcome(token), verified()]).toEqual(['accepted', times])
  },
)

test('however few verdicts are known, one of the longest tokens is', async () => {
  const { sign, outcome, verified } = counted({ maxEntries: 1 })
  const token = await sign(key, { cty: 'a'.repeat(5_800) })
  expect(token.length).toBeGreaterThan(8_000)
  for (let n = 0; n < 2; n++) expect([await outcome(token), verified()]).toEqual(['accepted', 1])
})

test('of more than a thousand first sights at once the oldest is verified again, and none is refused', async () => {
  const { sign, outcome, verified } = counted({})
  const tokens = await Promise.all(Array.from({ length: 1_001 }, (_, n) => sign(key, { cty: `${n}` })))
  const [first = '', last = ''] = [tokens.at(0), tokens.at(-1)]
  const outcomes = await Promise.all([...tokens, last, first].map(outcome))
  expect([new Set(outcomes), verified()]).toEqual([new Set(['accepted']), 1_001 + 1])
})

test('half of the time that an issuer is left alone is chance', async () => {
  using random = vi.spyOn(Math, 'random')
  for (const [chance, seconds] of [
    [0, 2],
    [0.5, 3],
    [0.9999, 4],
  ] as const) {
    random.mockReturnValue(chance)
    const { state, verifier } = startClockedVerifier()
    state.answer = away
    for (state.at of [0, 10, 20]) await verifier.ready().catch(() => {})
    await expect(verifier.ready()).rejects.toMatchObject({ retryAfter: seconds })
  }
})

test('an answer without keys is asked for again a minute later, where there are keys', async () => {
  const { state, sign, outcome, settle } = startClockedVerifier()
  const token = await sign(key)
  expect(await outcome(token)).toBe('accepted')
  state.answer = async () => keySet()
  const asked: number[] = []
  for (state.at = 240; state.at <= 420; state.at += 5) {
    const { requests } = state
    expect(await outcome(token)).toBe('accepted')
    await settle()
    if (state.requests > requests) asked.push(state.at)
  }
  expect(asked).toEqual([240, 300, 360, 420])
})
