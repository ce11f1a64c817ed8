import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import type { User } from '../../../../server/index.js'
import { away, key, keySet, never, other, startClockedVerifier } from '../../../parts/clocked-verifier.js'
import { waitFor } from '../../../parts/wait-for.js'

test('keys are refreshed in the background after four fifths of their freshness, and no request waits', async () => {
  const { state, verifier, sign, outcome } = startClockedVerifier()
  const token = await sign(key)
  await verifier.ready()
  for (const at of [0, 100, 239]) {
    state.at = at
    expect(await outcome(token)).toBe('accepted')
  }
  expect(state.requests).toBe(1)
  state.at = 240
  state.answer = never
  expect(await Promise.all([outcome(token), outcome(token)])).toEqual(['accepted', 'accepted'])
  expect(state.requests).toBe(2)
})

test('after a long silence known keys are used at once, and a removed key for one more minute', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const { state, sign, outcome, settle } = startClockedVerifier({ cache: { maxAge: 90_000 } })
    const [token, unseen] = await Promise.all([sign(key), sign(key, { cty: 'unseen' })])
    expect(await outcome(token)).toBe('accepted')
    state.at = 3_600
    let answer = (_: Response) => {}
    state.answer = () =>
      new Promise(done => {
        answer = done
      })
    expect(await Promise.all([token, unseen, token].map(outcome))).toEqual(Array(3).fill('accepted'))
    expect(state.requests).toBe(2)
    state.answer = async () => keySet(other)
    answer(keySet(other))
    await settle()
    for (state.at of [3_600, 3_659]) expect(await outcome(token)).toBe('accepted')
    state.at = 3_660
    for (const one of [token, unseen]) expect(await outcome(one)).toBe('unknown_key')
  } finally {
    vi.useRealTimers()
  }
})

test('tokens of a removed key are accepted for one more minute, also cached ones', async () => {
  const { state, sign, outcome } = startClockedVerifier({ cache: { maxAge: 3600 } })
  const token = await sign(key)
  expect(await outcome(token)).toBe('accepted')
  state.answer = async () => keySet(other)
  expect(await outcome(await sign(other))).toBe('accepted')
  state.at = 59
  expect(await outcome(token)).toBe('accepted')
  state.at = 60
  expect(await outcome(token)).toBe('unknown_key')
})

test('known keys are used for a day while the issuer fails, which is reported once', async () => {
  const { state, verifier, sign, outcome } = startClockedVerifier()
  const [token, unknown] = await Promise.all([sign(key), sign(other)])
  await verifier.ready()
  state.answer = away
  for (state.at = 0; state.at < 86_400; state.at += 900) {
    expect(await outcome(token)).toBe('accepted')
    await verifier.ready()
  }
  expect(await outcome(unknown)).toBe('keys_unavailable')
  expect(state.problems).toEqual([
    'The keys of https://auth.example.com cannot be refreshed. https://auth.example.com/api/auth/jwks answered with status 500.',
  ])
  expect(verifier.status()).toEqual({ keys: 1, age: state.at, lastError: 'status_500' })
  expect(await outcome(token)).toBe('accepted')
  state.at = 86_401
  expect(await outcome(token)).toBe('keys_unavailable')
  state.answer = async () => keySet(key)
  state.at += 60
  expect(await outcome(token)).toBe('accepted')
})

test('each outage is reported once', async () => {
  const { state, sign, outcome, settle } = startClockedVerifier()
  const token = await sign(key)
  for (const [at, answer] of [
    [0, async () => keySet(key)],
    [240, away],
    [300, away],
    [360, async () => keySet(key)],
    [600, away],
    [660, away],
  ] as const) {
    Object.assign(state, { at, answer })
    expect(await outcome(token)).toBe('accepted')
    await settle()
  }
  expect([state.requests, state.problems.length]).toEqual([6, 2])
})

test.each<[string, () => Record<string, string>, number]>([
  ['no delay', () => ({}), 1],
  ['seconds', () => ({ 'retry-after': '120' }), 120],
  ['a day', () => ({ 'retry-after': '86400' }), 900],
  ['X-Retry-After, as Better Auth does', () => ({ 'x-retry-after': '7' }), 7],
])('an issuer that asks for %s is not asked again earlier', async (_, headers, seconds) => {
  const { state, verifier, sign, outcome } = startClockedVerifier()
  state.answer = async () => new Response(null, { status: 429, headers: headers() })
  const token = await sign(key)
  await expect(verifier.verify(token)).rejects.toMatchObject({
    reason: 'keys_unavailable',
    retryAfter: seconds,
  })
  state.answer = async () => keySet(key)
  state.at = seconds - 1
  expect([await outcome(token), state.requests]).toEqual(['keys_unavailable', 1])
  state.at = seconds
  expect([await outcome(token), state.requests]).toEqual(['accepted', 2])
})

test('an empty set does not replace known keys, and is not a failure', async () => {
  const { state, verifier, sign, outcome } = startClockedVerifier()
  const [token, unknown] = await Promise.all([sign(key), sign(other)])
  await verifier.ready()
  state.answer = async () => keySet()
  expect(await outcome(unknown)).toBe('keys_unavailable')
  expect(await outcome(token)).toBe('accepted')
  expect(verifier.status()).toMatchObject({ keys: 1, lastError: 'no_keys' })
  state.answer = async () => keySet(key, other)
  expect(await outcome(unknown)).toBe('accepted')
})

test('half of the back-off of a failing issuer is random', async () => {
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

test('an empty key set is fetched again a minute later, and the known keys stay', async () => {
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

test('a set with a private key is refused as a whole', async () => {
  const { state, verifier } = startClockedVerifier()
  state.answer = async () => Response.json({ keys: [other.jwk, { ...key.jwk, d: 'AAAA' }] })
  await expect(verifier.ready()).rejects.toMatchObject({ reason: 'keys_unavailable' })
  expect(verifier.status()).toEqual({ keys: 0, age: null, lastError: 'invalid' })
  expect(state.problems).toEqual([expect.stringContaining('private key')])
  const keys = [{ kty: 'RSA', n: 'AQAB', e: 'AQAB', p: 'AAAA' }]
  expect(() => startClockedVerifier({ keys })).toThrow(TypeError)
})

/** How a hook fails. */
const failures: [how: string, fail: () => Promise<never>][] = [
  [
    'throws',
    () => {
      throw new TypeError('Illegal invocation')
    },
  ],
  ['rejects', async () => Promise.reject(new TypeError('Illegal invocation'))],
]

test.each(failures)('a waitUntil that %s is reported, and no request fails', async (_, waitUntil) => {
  const { state, verifier, sign, outcome } = startClockedVerifier({ waitUntil })
  const token = await sign(key)
  expect(await outcome(token)).toBe('accepted')
  state.at = 240
  expect(await outcome(token)).toBe('accepted')
  await expect.poll(() => verifier.status()).toMatchObject({ age: 0 })
  expect(state.problems).toEqual([expect.stringContaining('The waitUntil option has thrown.')])
})

test.each(failures)('if onProblem %s, no request fails, and the problem is a warning', async (_, fail) => {
  using warn = vi.spyOn(console, 'warn').mockReturnValue()
  const unhandled = vi.fn()
  process.on('unhandledRejection', unhandled)
  try {
    const { state, sign, outcome } = startClockedVerifier({ onProblem: fail, waitUntil: fail })
    const [token, unknown] = await Promise.all([sign(key), sign(other)])
    expect(await outcome(token)).toBe('accepted')
    state.at = 240
    state.answer = away
    expect(await outcome(token)).toBe('accepted')
    expect(await outcome(unknown)).toBe('keys_unavailable')
    await new Promise(setImmediate)
    expect(unhandled.mock.calls).toEqual([])
    expect(warn.mock.calls).toEqual([
      [expect.stringContaining('The waitUntil option has thrown.')],
      [expect.stringContaining('/api/auth/jwks answered with status 500.')],
    ])
  } finally {
    process.off('unhandledRejection', unhandled)
  }
})

test('a fetch that ignores its signal times out', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const { state, verifier, sign, outcome } = startClockedVerifier()
    const token = await sign(key)
    state.answer = never
    const refused = outcome(token)
    await waitFor(() => expect(vi.getTimerCount()).toBeGreaterThan(0))
    await vi.advanceTimersByTimeAsync(3_400)
    expect(await refused).toBe('keys_unavailable')
    expect(verifier.status()).toMatchObject({ keys: 0, lastError: 'timeout' })
    expect(await outcome(token)).toBe('keys_unavailable')
    expect(state.requests).toBe(1)
    expect(state.problems).toHaveLength(1)
  } finally {
    vi.useRealTimers()
  }
})

test('an isRevoked that never answers is an outage after five seconds', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const { sign, verifier } = startClockedVerifier({
      keys: [key.jwk],
      isRevoked: () => new Promise(() => {}),
    })
    const outcome = expect(verifier.verify(await sign(key))).rejects.toMatchObject({
      reason: 'revocation_unavailable',
    })
    await waitFor(() => expect(vi.getTimerCount()).toBeGreaterThan(0))
    await vi.advanceTimersByTimeAsync(5_000)
    await outcome
  } finally {
    vi.useRealTimers()
  }
})

test.each([
  ['', {}],
  [', also without a cache', { cache: false }],
] as const)('a user schema that never answers is an Error after five seconds%s', async (_, given) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const user = z.object({}).transform(() => new Promise<User>(() => {}))
    const { sign, verifier } = startClockedVerifier({ keys: [key.jwk], user, ...given })
    const error = verifier.verify(await sign(key)).catch((cause: unknown) => cause)
    await waitFor(() => expect(vi.getTimerCount()).toBe(1))
    await vi.advanceTimersByTimeAsync(5_000)
    expect(await error).toMatchObject({
      name: 'Error',
      message: 'The user option returned no user within 5 s.',
    })
  } finally {
    vi.useRealTimers()
  }
})
