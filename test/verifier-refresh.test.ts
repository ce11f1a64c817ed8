import { expect, test, vi } from 'vitest'
import { createVerifier, type IssuerOptions, type TokenError, type VerifierOptions } from '../server/index.js'
import { algorithms, claimsFrom, type Key, makeKey } from './parts/keys.js'

const here = 'https://auth.example.com'
const keySet = (...keys: Key[]) => Response.json({ keys: keys.map(({ jwk }) => jwk) })
const [key, other] = await Promise.all([makeKey(), makeKey()])

/** A verifier on a clock that stands still, and an issuer that answers as it is told to. */
function start(options: Partial<VerifierOptions & IssuerOptions> = {}) {
  const state = {
    /** Seconds since it was started. */
    at: 0,
    requests: 0,
    problems: [] as string[],
    answer: async (_url: string): Promise<Response> => keySet(key),
  }
  const began = Math.floor(Date.now() / 1000)
  const background: Promise<void>[] = []
  const verifier = createVerifier({
    issuer: here,
    audience: here,
    now: () => (began + state.at) * 1000,
    onProblem: problem => void state.problems.push(problem),
    waitUntil: refresh => void background.push(refresh),
    async fetch(url) {
      state.requests++
      return state.answer(String(url))
    },
    ...options,
  })
  const sign = (by: Key, header = {}) => by.sign(claimsFrom(here, { exp: began + 1_000_000 }), header)
  const outcome = (token: string) =>
    verifier.verify(token).then(
      () => 'accepted',
      (error: TokenError) => error.reason,
    )
  /** Waits for what the verifier does in the background. */
  const settle = () => Promise.all(background)
  return { state, verifier, sign, outcome, settle }
}

const away = async () => new Response(null, { status: 500 })
const never = () => new Promise<Response>(() => {})

test('keys are refreshed in the background from four fifths of their freshness on, and nobody waits', async () => {
  const { state, verifier, sign, outcome } = start()
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

test('after a long silence known keys are used at once, whatever the issuer does, and one that it removed for a minute more', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const { state, sign, outcome, settle } = start({ cache: { maxAge: 90_000 } })
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

test('a key that the issuer removed counts for a minute more, and then falls with what it has proven', async () => {
  const { state, sign, outcome } = start({ cache: { maxAge: 3600 } })
  const token = await sign(key)
  expect(await outcome(token)).toBe('accepted')
  state.answer = async () => keySet(other)
  expect(await outcome(await sign(other))).toBe('accepted')
  state.at = 59
  expect(await outcome(token)).toBe('accepted')
  state.at = 60
  expect(await outcome(token)).toBe('unknown_key')
})

test('a flood of kids that nobody has costs five fetches at once and one in ten seconds', async () => {
  const { state, verifier, sign, outcome } = start()
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
  const { state, sign, outcome } = start()
  expect(await outcome(await sign(key))).toBe('accepted')
  const replaced = await makeKey('EdDSA', key.kid)
  const token = await sign(replaced)
  state.answer = async () => keySet(replaced)
  state.at = 30
  expect([await outcome(token), state.requests]).toEqual(['signature', 1])
  state.at = 31
  expect([await outcome(token), state.requests]).toEqual(['accepted', 2])
})

test('known keys are used for a day while the issuer fails, which is told once', async () => {
  const { state, verifier, sign, outcome } = start()
  const [token, unknown] = await Promise.all([sign(key), sign(other)])
  await verifier.ready()
  state.answer = away
  for (state.at = 0; state.at < 86_400; state.at += 900) {
    expect(await outcome(token)).toBe('accepted')
    await verifier.ready()
  }
  expect(await outcome(unknown)).toBe('keys_unavailable')
  expect(state.problems).toEqual([
    'The keys of https://auth.example.com cannot be refreshed. The issuer answered with status 500.',
  ])
  expect(verifier.status()).toEqual({ keys: 1, age: state.at, lastError: 'status_500' })
  expect(await outcome(token)).toBe('accepted')
  state.at = 86_401
  expect(await outcome(token)).toBe('keys_unavailable')
  state.answer = async () => keySet(key)
  state.at += 60
  expect(await outcome(token)).toBe('accepted')
})

test.each<[string, () => Record<string, string>, number]>([
  ['nothing', () => ({}), 1],
  ['seconds', () => ({ 'retry-after': '120' }), 120],
  ['a day', () => ({ 'retry-after': '86400' }), 900],
  ['X-Retry-After, as Better Auth does', () => ({ 'x-retry-after': '7' }), 7],
])('an issuer that asks for %s is left alone for so long', async (_, headers, seconds) => {
  const { state, verifier, sign, outcome } = start()
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

test('an empty set changes nothing where there were keys, and is no failure', async () => {
  const { state, verifier, sign, outcome } = start()
  const [token, unknown] = await Promise.all([sign(key), sign(other)])
  await verifier.ready()
  state.answer = async () => keySet()
  expect(await outcome(unknown)).toBe('keys_unavailable')
  expect(await outcome(token)).toBe('accepted')
  expect(verifier.status()).toMatchObject({ keys: 1, lastError: 'no_keys' })
  state.answer = async () => keySet(key, other)
  expect(await outcome(unknown)).toBe('accepted')
})

test('a private key in the set refuses the whole of it', async () => {
  const { state, verifier } = start()
  state.answer = async () => Response.json({ keys: [other.jwk, { ...key.jwk, d: 'AAAA' }] })
  await expect(verifier.ready()).rejects.toMatchObject({ reason: 'keys_unavailable' })
  expect(verifier.status()).toEqual({ keys: 0, age: null, lastError: 'invalid' })
  expect(state.problems).toEqual([expect.stringContaining('private key')])
  const keys = [{ kty: 'RSA', n: 'AQAB', e: 'AQAB', p: 'AAAA' }]
  expect(() => start({ keys })).toThrow(TypeError)
})

test('a token without kid counts where one key fits, also while the one before it leaves', async () => {
  const { state, sign, outcome, settle } = start({ cache: false })
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
  const { state, sign, outcome } = start()
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
  const { state, verifier, sign, outcome } = start()
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
  const { state, verifier, outcome } = start()
  await verifier.ready()
  const keys = await Promise.all(algorithms.map(alg => makeKey(alg, 'nobody')))
  for (const one of keys) expect(await outcome(await one.sign(claimsFrom(here)))).toBe('unknown_key')
  expect(state.requests).toBe(1 + 1)
})

test('a clock that is set back by a day locks nobody out', async () => {
  const { state, verifier, sign, outcome } = start()
  const token = await sign(key)
  state.at = 86_400
  state.answer = away
  expect(await outcome(token)).toBe('keys_unavailable')
  for (let i = 0; i < 9; i++) await outcome(await sign(other))
  state.at = 0
  state.answer = async () => keySet(key)
  expect(await outcome(token)).toBe('accepted')
  expect(verifier.status()).toMatchObject({ keys: 1, age: 0 })
})

test('keys that were fetched before the clock was set back are fetched anew, and asked about as often as ever', async () => {
  const { state, verifier, sign, outcome } = start()
  state.at = 86_400
  expect(await outcome(await sign(key))).toBe('accepted')
  for (let i = 0; i < 5; i++) await outcome(await sign(other, { kid: crypto.randomUUID() }))
  const requests = state.requests
  state.at = 0
  expect(await outcome(await sign(key))).toBe('accepted')
  await expect.poll(() => verifier.status()).toMatchObject({ age: 0 })
  expect(state.requests).toBe(requests + 1)
  expect(await outcome(await sign(other))).toBe('keys_unavailable')
  state.at = 10
  expect(await outcome(await sign(other))).toBe('unknown_key')
})

const metadata = (issuer: string) => Response.json({ issuer, jwks_uri: 'https://keys.example.com/jwks' })

test('discovery finds the keys by the metadata of the issuer, of either kind', async () => {
  const { state, outcome } = start({ discover: true, issuer: `${here}/tenant` })
  const token = await key.sign(claimsFrom(`${here}/tenant`, { aud: here }))
  const asked: string[] = []
  state.answer = async url => {
    asked.push(url)
    if (url.endsWith('/openid-configuration')) return new Response(null, { status: 404 })
    return url.startsWith(here) ? metadata(`${here}/tenant`) : keySet(key)
  }
  expect(await outcome(token)).toBe('accepted')
  expect(asked).toEqual([
    `${here}/tenant/.well-known/openid-configuration`,
    `${here}/.well-known/oauth-authorization-server/tenant`,
    'https://keys.example.com/jwks',
  ])
})

test('discovery asks first where the metadata were last, and elsewhere when they have moved', async () => {
  const { state, sign, outcome } = start({ discover: true })
  let place = '/.well-known/oauth-authorization-server'
  let asked: string[] = []
  state.answer = async url => {
    asked.push(new URL(url).pathname)
    if (!url.startsWith(here)) return keySet(key)
    return url === `${here}${place}` ? metadata(here) : new Response(null, { status: 404 })
  }
  const forge = () => sign(other, { kid: crypto.randomUUID() })
  expect(await outcome(await sign(key))).toBe('accepted')
  asked = []
  for (let n = 0; n < 5; n++) expect(await outcome(await forge())).toBe('unknown_key')
  expect(asked).toEqual(Array(5).fill([place, '/jwks']).flat())
  place = '/.well-known/openid-configuration'
  asked = []
  for (state.at of [10, 20]) expect(await outcome(await forge())).toBe('unknown_key')
  expect(asked).toEqual(['/.well-known/oauth-authorization-server', place, '/jwks', place, '/jwks'])
})

test('discovery goes with an issuer that moves its keys, while the old place serves those of before', async () => {
  const { state, sign, outcome } = start({ discover: true })
  let place = 'https://keys.example.com/old'
  state.answer = async url => {
    if (url.startsWith(here)) return Response.json({ issuer: here, jwks_uri: place })
    return url.endsWith('/old') ? keySet(key) : keySet(key, other)
  }
  expect(await outcome(await sign(key))).toBe('accepted')
  place = 'https://keys.example.com/new'
  expect(await outcome(await sign(other))).toBe('accepted')
})

test('a hook that never says whether a token is revoked holds its request for five seconds', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const { sign, verifier } = start({ keys: [key.jwk], isRevoked: () => new Promise(() => {}) })
    const outcome = expect(verifier.verify(await sign(key))).rejects.toMatchObject({
      reason: 'revocation_unavailable',
    })
    await vi.waitFor(() => expect(vi.getTimerCount()).toBeGreaterThan(0))
    await vi.advanceTimersByTimeAsync(5_000)
    await outcome
  } finally {
    vi.useRealTimers()
  }
})
