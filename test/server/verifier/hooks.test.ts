import { inspect } from 'node:util'
import { afterEach, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { createVerifier, type TokenError, type User, type VerifierOptions } from '../../../server/index.js'
import { carriesIssuer, claimsFrom, makeKey } from '../../parts/issuer.js'
import { waitFor } from '../../parts/wait-for.js'

const here = 'https://auth.example.com'
const there = 'https://login.example.org'
const key = await makeKey()
const keys = [key.jwk]
const issuers = [here, there].map(issuer => ({ issuer, audience: here, keys }))
const tokenOf = (issuer: string, claims = {}) => key.sign(claimsFrom(issuer, { aud: here, ...claims }))

afterEach(() => vi.useRealTimers())

test('several issuers without a user option are a TypeError that says what to do', () => {
  expect(() => createVerifier({ issuers })).toThrow(
    expect.objectContaining({
      name: 'TypeError',
      message: expect.stringMatching(/user option.*"sub".*user: \(\{ iss, sub \}\) => /s),
    }),
  )
  expect(() => createVerifier({ issuers, user: undefined })).toThrow(TypeError)
})

test('a list of one issuer needs no user option', async () => {
  const verifier = createVerifier({ issuers: issuers.slice(0, 1) })
  expect(await verifier.verify(await tokenOf(here))).toEqual({ id: 'alice' })
})

test.each<[string, VerifierOptions['user']]>([
  ['a function', carriesIssuer],
  ['an async function', async claims => carriesIssuer(claims)],
  ['a schema', z.object({ iss: z.string(), sub: z.string() }).transform(carriesIssuer)],
])('the same sub from two issuers is two people, by %s', async (_, user) => {
  const verifier = createVerifier({ issuers, user })
  const people = await Promise.all([here, there].map(async iss => verifier.verify(await tokenOf(iss))))
  expect(people).toEqual([here, there].map(iss => ({ id: JSON.stringify([iss, 'alice']) })))
})

test('the user that a function makes is copied and frozen', async () => {
  const own: User & { roles: string[] } = { id: 'alice', roles: ['admin'] }
  const verifier = createVerifier({ issuer: here, audience: here, keys, user: () => own })
  const user = await verifier.verify(await tokenOf(here))
  expect(user).toEqual(own)
  expect(user).not.toBe(own)
  expect(Object.isFrozen(user) && Object.isFrozen(Reflect.get(user, 'roles'))).toBe(true)
  expect(Object.isFrozen(own)).toBe(false)
})

test('a function receives frozen claims, and none of a forged token', async () => {
  const seen: unknown[] = []
  const verifier = createVerifier({
    issuer: here,
    audience: here,
    keys,
    user(claims) {
      seen.push(claims)
      return { id: claims.sub }
    },
  })
  const stranger = await makeKey('EdDSA', key.kid)
  const forged = await stranger.sign(claimsFrom(here))
  await expect(verifier.verify(forged)).rejects.toMatchObject({ reason: 'signature' })
  expect(seen).toEqual([])
  await verifier.verify(await tokenOf(here, { groups: ['a'] }))
  expect(seen).toHaveLength(1)
  expect(Object.isFrozen(seen[0])).toBe(true)
})

/** Users that plain JavaScript allows. */
const made: [what: string, answer: object][] = [
  ['no id', { user: {} }],
  ['an empty id', { user: { id: '' } }],
  ['an id of 256 characters', { user: { id: 'a'.repeat(256) } }],
  ['an id with a NUL', { user: { id: 'ali\0ce' } }],
  ['an id that is a number', { user: { id: 1 } }],
  ['null', { user: null }],
  ['undefined', { user: undefined }],
  ['a string', { user: 'alice' }],
  ['a list', { user: [{ id: 'alice' }] }],
]

test.each(made)('a function that returns %s refuses the token for its id', async (_, answer) => {
  const verifier = createVerifier({
    issuer: here,
    audience: here,
    keys,
    user: () => Reflect.get(answer, 'user'),
  })
  const refusal: TokenError = await verifier.verify(await tokenOf(here)).catch(error => error)
  expect(refusal).toMatchObject({ name: 'TokenError', reason: 'claims', token: { claim: 'id' } })
})

test.each<[string, (claims: { sub: string }) => User | Promise<User>]>([
  [
    'throws',
    ({ sub }) => {
      throw new RangeError(`Nobody called ${sub}.`)
    },
  ],
  ['rejects', ({ sub }) => Promise.reject(new RangeError(`Nobody called ${sub}.`))],
])('a function that %s refuses the token, and no error quotes its claims', async (_, user) => {
  const verifier = createVerifier({ issuer: here, audience: here, keys, user })
  const refusal: TokenError = await verifier.verify(await tokenOf(here)).catch(error => error)
  expect(refusal).toMatchObject({ name: 'TokenError', reason: 'claims' })
  expect(refusal.token?.hint).toBe('The user option has thrown (RangeError).')
  expect(inspect(refusal, { depth: null, showHidden: true })).not.toContain('alice')
})

test('no two pairs of issuer and sub make the same user, whatever they contain', async () => {
  const bars = ['https://x.example', 'https://x.example|42'].map(issuer => ({ issuer, audience: here, keys }))
  const verifier = createVerifier({ issuers: bars, user: carriesIssuer })
  const people = await Promise.all([
    verifier.verify(await tokenOf('https://x.example', { sub: '42|7' })),
    verifier.verify(await tokenOf('https://x.example|42', { sub: '7' })),
  ])
  expect(new Set(people.map(({ id }) => id)).size).toBe(2)
})

const throwsAll = () => {
  throw new Error('alice')
}
const strangeErrors: [what: string, thrown: unknown][] = [
  ['a Proxy', new Proxy(new Error('alice'), { get: throwsAll, getPrototypeOf: throwsAll })],
  ['an error whose constructor is null', Object.assign(new Error('alice'), { constructor: null })],
  ...[Symbol('alice'), { toString: throwsAll }, 1].map((name): [string, unknown] => [
    `an error whose kind is a ${typeof name}`,
    Object.assign(new Error('alice'), { constructor: { name } }),
  ]),
]

test.each(strangeErrors)(
  'a hook that throws %s refuses the token, and no error quotes it',
  async (_, thrown) => {
    const hook = () => {
      throw thrown
    }
    const options = { issuer: here, audience: here, keys }
    for (const [more, reason] of [
      [{ user: hook }, 'claims'],
      [{ isRevoked: hook }, 'revocation_unavailable'],
    ] as const) {
      const verifier = createVerifier({ ...options, ...more })
      const refusal = await verifier.verify(await tokenOf(here)).catch(error => error)
      expect(refusal).toMatchObject({ name: 'TokenError', reason })
      expect(refusal.cause.message).toMatch(/option has thrown \(unknown\)\.$/)
      expect(inspect(refusal, { depth: null, showHidden: true })).not.toContain('alice')
    }
  },
)

const withThen = (then: PropertyDescriptor): User => Object.defineProperty({ id: 'alice' }, 'then', then)
const givesAnother = (done: (user: unknown) => void) => done({ id: 7 })

/** A user whose `then` appears only when it is read again. */
function lateThen() {
  let reads = 0
  return withThen({ get: () => (reads++ === 0 ? undefined : givesAnother) })
}

test.each<[string, VerifierOptions['user']]>([
  ['a function', lateThen],
  ['a schema', z.object({}).transform(() => withThen({ value: givesAnother }))],
])('a user with a `then` is refused, made by %s', async (_, user) => {
  const verifier = createVerifier({ issuer: here, audience: here, keys, user })
  const refusal: TokenError = await verifier.verify(await tokenOf(here)).catch(error => error)
  expect(refusal).toMatchObject({ name: 'TokenError', reason: 'claims', token: { claim: 'then' } })
})

test('a function that returns no user within 5 seconds is an Error, not a refusal', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const asked = vi.fn(() => new Promise<User>(() => {}))
  const verifier = createVerifier({ issuer: here, audience: here, keys, user: asked })
  const answer = verifier.verify(await tokenOf(here)).catch(error => error)
  await waitFor(() => expect(asked).toHaveBeenCalled())
  await vi.advanceTimersByTimeAsync(5_000)
  expect(await answer).toMatchObject({ name: 'Error', message: expect.stringContaining('within 5 s') })
})

test('a user with a Date is made again for each request', async () => {
  const user = vi.fn(() => ({ id: 'alice', since: new Date(0) }))
  const verifier = createVerifier({ issuer: here, audience: here, keys, user })
  const token = await tokenOf(here)
  const [first, second] = [await verifier.verify(token), await verifier.verify(token)]
  expect(second).toEqual(first)
  expect(second).not.toBe(first)
})
