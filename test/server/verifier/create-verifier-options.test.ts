import type { JWTPayload } from 'jose'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { createVerifier, type IssuerOptions, type TokenError } from '../../../server/index.js'
import { carriesIssuer, claimsFrom, makeKey, startIssuer } from '../../parts/issuer.js'
import { waitFor } from '../../parts/wait-for.js'

const here = 'https://auth.example.com'
const options = { issuer: here, audience: here }
const key = await makeKey()
const keys = [key.jwk]

test.each<[string, NonNullable<IssuerOptions['keys']>]>([
  ['a list', keys],
  ['a key set', { keys }],
])('keys are given as %s, and none are fetched', async (_, given) => {
  const verifier = createVerifier({ ...options, keys: given })
  await verifier.ready()
  expect(verifier.status()).toEqual({ keys: 1, age: null, lastError: null })
  expect(await verifier.verify(await key.sign(claimsFrom(here)))).toEqual({ id: 'alice' })
  const unknown = await makeKey()
  await expect(verifier.verify(await unknown.sign(claimsFrom(here)))).rejects.toMatchObject({
    reason: 'unknown_key',
  })
})

test('with several issuers the age is that of the fetched keys', async () => {
  const state = { at: 0 }
  const fetched = { issuer: 'https://login.example.org', audience: here }
  const verifier = createVerifier({
    issuers: [{ ...options, keys }, fetched],
    user: carriesIssuer,
    now: () => state.at,
    fetch: async () => Response.json({ keys }),
  })
  expect(verifier.status()).toMatchObject({ age: null })
  await verifier.ready()
  state.at = 5_000
  expect(verifier.status()).toEqual({ keys: 2, age: 5, lastError: null })
  const given = createVerifier({
    issuers: [
      { ...options, keys },
      { ...fetched, keys },
    ],
    user: carriesIssuer,
  })
  await given.ready()
  expect(given.status()).toEqual({ keys: 2, age: null, lastError: null })
})

test('later changes of the given keys have no effect', async () => {
  const given = [...keys]
  const verifier = createVerifier({ ...options, keys: given })
  given.length = 0
  expect(await verifier.verify(await key.sign(claimsFrom(here)))).toEqual({ id: 'alice' })
})

test.each([
  ['at the origin of an issuer with a path', (url: string) => ({ issuer: `${url}/tenants/1` })],
  ['at a jwksUrl', (url: string) => ({ issuer: 'our issuer', jwksUrl: `${url}/api/auth/jwks` })],
  [
    'at a jwksUrl that is a URL',
    (url: string) => ({ issuer: here, jwksUrl: new URL('/api/auth/jwks', url) }),
  ],
])('the keys are found %s', async (_, from) => {
  await using issuer = await startIssuer({ keys: [key] })
  const given = from(issuer.url)
  const verifier = createVerifier({ ...given, audience: 'us' })
  const token = await key.sign(issuer.claims({ iss: given.issuer, aud: 'us' }))
  expect(await verifier.verify(token)).toEqual({ id: 'alice' })
})

test('an algorithm that is not in the list is refused', async () => {
  const other = await makeKey('ES256')
  const verifier = createVerifier({ ...options, keys: [...keys, other.jwk], algorithms: ['ES256'] })
  expect(await verifier.verify(await other.sign(claimsFrom(here)))).toEqual({ id: 'alice' })
  await expect(verifier.verify(await key.sign(claimsFrom(here)))).rejects.toMatchObject({
    reason: 'algorithm',
  })
})

test('the clock tolerance can be set, also to zero', async () => {
  const at = Math.floor(Date.now() / 1000)
  const expired = (ago: number) => key.sign(claimsFrom(here, { exp: at - ago }))
  const tolerant = createVerifier({ ...options, keys, clockTolerance: 60 })
  expect(await tolerant.verify(await expired(30))).toEqual({ id: 'alice' })
  await expect(tolerant.verify(await expired(61))).rejects.toMatchObject({ reason: 'expired' })
  const strict = createVerifier({ ...options, keys, clockTolerance: 0 })
  await expect(strict.verify(await expired(1))).rejects.toMatchObject({ reason: 'expired' })
})

const claimsWithRole = z.object({ sub: z.string(), role: z.enum(['admin', 'member']) })
const withRole = claimsWithRole.transform(({ sub, role }) => ({ id: sub, role }))

test('a schema makes the user from verified claims', async () => {
  const verifier = createVerifier({ ...options, keys, user: withRole })
  const user = await verifier.verify(await key.sign(claimsFrom(here, { role: 'admin' })))
  expect(user).toEqual({ id: 'alice', role: 'admin' })
  expect(Object.isFrozen(user)).toBe(true)
  await expect(verifier.verify(await key.sign(claimsFrom(here, { role: 'owner' })))).rejects.toMatchObject({
    name: 'TokenError',
    reason: 'claims',
  })
})

const refusedFor: [claim: string | undefined, claims: JWTPayload, header?: object][] = [
  ['exp', { exp: undefined }],
  ['iat', { iat: undefined }],
  ['nbf', JSON.parse('{"nbf":"now"}')],
  ['sub', { sub: '' }],
  ['typ', {}, { typ: 'at+jwt' }],
  ['role', { role: 'owner' }],
  ['groups', JSON.parse('{"groups":{"secret":"owner"}}')],
  ['id', { role: 'admin', uid: '' }],
  [undefined, { role: 'admin', uid: 'thrown' }],
]

test.each(refusedFor)('a refusal for its claims names the claim: %s', async (claim, claims, header) => {
  const groups = z.record(z.string(), z.literal('member')).optional()
  const user = claimsWithRole.extend({ uid: z.string().optional(), groups }).transform(({ sub, uid }) => {
    if (uid === 'thrown') throw new Error('An error that quotes the uid.')
    return { id: uid ?? sub }
  })
  const verifier = createVerifier({ ...options, keys, user, maxTokenAge: 60 })
  const refusal: TokenError = await verifier
    .verify(await key.sign(claimsFrom(here, { role: 'admin', ...claims }), header))
    .catch(error => error)
  expect(refusal).toMatchObject({ reason: 'claims' })
  expect(refusal.token?.claim).toBe(claim)
  expect(refusal.token?.hint).toBe(claim === undefined ? 'The user option has thrown (Error).' : undefined)
})

test.each([
  ['with a trailing slash', `${here}/`, here],
  ['without its trailing slash', here, `${here}/`],
])('an iss %s is refused, and the log names the slash', async (_, iss, issuer) => {
  const token = await key.sign(claimsFrom(here, { iss }))
  const other = { issuer: 'https://other.example.com', audience: here, keys }
  const own = { ...options, issuer, keys }
  for (const given of [own, { issuers: [other, own], user: carriesIssuer }]) {
    const refusal: TokenError = await createVerifier(given)
      .verify(token)
      .catch(error => error)
    expect(refusal).toMatchObject({
      reason: 'issuer',
      token: { hint: expect.stringContaining(`${issuer} only by a trailing slash`) },
    })
    expect(refusal.message).toBe('The token is from another issuer.')
  }
})

test('a completely different iss has both in its hint', async () => {
  const token = await key.sign(claimsFrom(`${here}.evil.example`))
  const refusal = await createVerifier({ ...options, keys })
    .verify(token)
    .catch(error => error)
  expect(refusal.token.hint).toBe(`Its iss is "${here}.evil.example". The issuer option is ${here}.`)
})

test('with several issuers an unknown iss, which nothing proves, is not in the hint', async () => {
  const issuers = [{ issuer: 'https://a.example' }, { issuer: 'https://b.example' }]
  const verifier = createVerifier({
    issuers: issuers.map(one => ({ ...one, audience: 'api', keys })),
    user: ({ iss, sub }) => ({ id: `${sub} of ${iss}` }),
  })
  const token = await key.sign(claimsFrom('SECRET'))
  const refusal = await verifier.verify(token).catch(error => error)
  expect(refusal.token.hint).toBe(
    'Its iss is another one. The issuer option is https://a.example or https://b.example.',
  )
})

test('the query of jwksUrl is in no log and no refusal', async () => {
  const onProblem = vi.fn()
  const verifier = createVerifier({
    issuer: iss => iss === here,
    audience: here,
    jwksUrl: 'https://keys.example/jwks?apikey=SECRET',
    user: ({ iss, sub }) => ({ id: `${sub} of ${iss}` }),
    fetch: async () => new Response('', { status: 500 }),
    onProblem,
  })
  const refusal = await verifier.verify(await key.sign(claimsFrom(here))).catch(error => error)
  expect(refusal).toMatchObject({
    reason: 'keys_unavailable',
    token: { issuer: 'the one of https://keys.example/jwks' },
  })
  await waitFor(() => expect(onProblem).toHaveBeenCalled())
  expect(onProblem.mock.calls[0]?.[0]).toContain('The keys of https://keys.example/jwks cannot')
})

test('a schema receives no claims of a forged token', async () => {
  const seen: unknown[] = []
  const user = z.any().transform(claims => {
    seen.push(claims)
    return { id: 'everybody' }
  })
  const stranger = await makeKey('EdDSA', key.kid)
  const verifier = createVerifier({ ...options, keys, user })
  await expect(verifier.verify(await stranger.sign(claimsFrom(here)))).rejects.toMatchObject({
    reason: 'signature',
  })
  expect(seen).toEqual([])
})

test('a schema may ask somewhere else', async () => {
  const user = withRole.refine(async () => false, 'Not a member any more')
  const verifier = createVerifier({ ...options, keys, user })
  await expect(verifier.verify(await key.sign(claimsFrom(here, { role: 'admin' })))).rejects.toMatchObject({
    reason: 'claims',
  })
})

test.each(['', 'a'.repeat(256), 'ali\0ce'])('the id that a schema makes is checked: %j', async id => {
  const verifier = createVerifier({ ...options, keys, user: z.any().transform(() => ({ id })) })
  await expect(verifier.verify(await key.sign(claimsFrom(here)))).rejects.toMatchObject({ reason: 'claims' })
})
