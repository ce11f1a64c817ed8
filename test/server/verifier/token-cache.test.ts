import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import type { CacheOptions } from '../../../server/verifier/index.js'
import { key, startClockedVerifier } from '../../parts/clocked-verifier.js'

const year = 365 * 86_400

/** Counts how often a token is verified: the user is made then, and cached. */
function counted(options: CacheOptions) {
  const made = vi.fn(({ sub }: { sub: string }) => ({ id: sub }))
  const user = z.object({ sub: z.string() }).transform(made)
  return {
    ...startClockedVerifier({ keys: [key.jwk], user, cache: options }),
    verified: () => made.mock.calls.length,
  }
}

test('a token is cached for maxAge, and no longer if the clock is set back meanwhile', async () => {
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
  ['maxEntries says', 2, 1],
  ['their length allows, at 1,024 characters on average', 16, 5_000],
])(
  'as many tokens are cached as %s, and the least recently used one is dropped',
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

test('a cache of one entry has room for one of the longest tokens', async () => {
  const { sign, outcome, verified } = counted({ maxEntries: 1 })
  const token = await sign(key, { cty: 'a'.repeat(5_800) })
  expect(token.length).toBeGreaterThan(8_000)
  for (let n = 0; n < 2; n++) expect([await outcome(token), verified()]).toEqual(['accepted', 1])
})

test('a thousand requests with new tokens at once are all accepted, and each token is cached', async () => {
  const { sign, outcome, verified } = counted({})
  const tokens = await Promise.all(Array.from({ length: 1_001 }, (_, n) => sign(key, { cty: `${n}` })))
  for (let n = 0; n < 2; n++) {
    const outcomes = await Promise.all(tokens.map(outcome))
    expect([new Set(outcomes), verified()]).toEqual([new Set(['accepted']), 1_001])
  }
})
