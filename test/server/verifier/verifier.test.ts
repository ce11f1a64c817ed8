import { inspect } from 'node:util'
import { CompactSign, exportSPKI, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { createVerifier, TokenError } from '../../../server/index.js'
import { seconds as now } from '../../parts/clock.js'
import { algorithms, type Key, makeKey, startIssuer } from '../../parts/issuer.js'
import { startWeb } from '../../parts/listen.js'

let issuer: Awaited<ReturnType<typeof startIssuer>>
let key: Key
let stranger: Key
beforeAll(async () => {
  key = await makeKey('EdDSA')
  stranger = await makeKey('EdDSA', key.kid)
  issuer = await startIssuer({
    keys: [key, ...(await Promise.all(algorithms.slice(1).map(alg => makeKey(alg))))],
  })
})
afterAll(() => issuer[Symbol.asyncDispose]())
afterEach(() => void vi.useRealTimers())

const verify = (token: string) => createVerifier({ issuer: issuer.url, audience: issuer.url }).verify(token)
const signed = (claims: JWTPayload = {}, header = {}) => key.sign(issuer.claims(claims), header)

/** All that a person could print of a refusal: message, stack, causes, hidden properties. */
const printed = (error: unknown) =>
  inspect(error, { depth: null, showHidden: true, maxStringLength: null, maxArrayLength: null })

async function refusal(token: string): Promise<TokenError> {
  const error: unknown = await verify(token).then(
    () => 'The token was accepted.',
    cause => cause,
  )
  if (!(error instanceof TokenError)) throw error
  for (const part of [token, ...token.split('.')].filter(text => text.length >= 16)) {
    expect(printed(error)).not.toContain(part)
  }
  return error
}

test.each(algorithms)('a token signed with %s is accepted', async alg => {
  const signer = issuer.keys.find(({ jwk }) => jwk.alg === alg)
  const token = await signer?.sign(
    issuer.claims({ email: 'alice@example.com', name: 'Alice', role: 'admin' }),
  )
  expect(await verify(token ?? '')).toEqual({ id: 'alice', email: 'alice@example.com', name: 'Alice' })
})

type Make = () => string | Promise<string>

const accepted: [what: string, make: Make][] = [
  ['no typ', () => signed()],
  ['typ JWT', () => signed({}, { typ: 'JWT' })],
  ['typ jwt', () => signed({}, { typ: 'jwt' })],
  ['our audience among others', () => signed({ aud: ['https://other.example.com', issuer.url] })],
  ['no iat', () => signed({ iat: undefined })],
  ['a sub of 255 characters beyond the basic plane', () => signed({ sub: '🦊'.repeat(255) })],
  ['a sub with spaces around and capitals', () => signed({ sub: ' Alice\n' })],
  ['many claims, within 8 kB', () => signed({ padding: 'x'.repeat(5_500) })],
]

test.each(accepted)('a token with %s is accepted', async (_, make) => {
  expect(await verify(await make())).toMatchObject({ id: expect.any(String) })
})

test('the id is the sub exactly as the issuer wrote it', async () => {
  expect(await verify(await signed({ sub: ' Ålice\n' }))).toEqual({ id: ' Ålice\n' })
})

test('email and name that are not text are left out', async () => {
  expect(await verify(await signed({ email: null, name: { first: 'Alice' } }))).toEqual({ id: 'alice' })
})

test('the user is frozen', async () => {
  const user = await verify(await signed())
  expect(Object.isFrozen(user)).toBe(true)
})

const refused: [what: string, reason: TokenError['reason'], make: Make][] = [
  ['no exp', 'claims', () => signed({ exp: undefined })],
  ['no sub', 'claims', () => signed({ sub: undefined })],
  ['an empty sub', 'claims', () => signed({ sub: '' })],
  ['a sub of 256 characters', 'claims', () => signed({ sub: 'a'.repeat(256) })],
  ['a NUL in sub', 'claims', () => signed({ sub: 'ali\0ce' })],
  ['a lone surrogate in sub', 'claims', () => signed({ sub: 'ali\ud83ece' })],
  ['a sub that is a number', 'claims', () => forged({ sub: 1 })],
  ['an exp that is text', 'claims', () => forged({ exp: '2099-01-01' })],
  ['an iat that is text', 'claims', () => forged({ iat: 'now' })],
  ['an nbf that is text', 'claims', () => forged({ nbf: 'now' })],
  ['another issuer', 'issuer', () => signed({ iss: 'https://evil.example.com' })],
  ["our issuer's URL with a slash", 'issuer', () => signed({ iss: `${issuer.url}/` })],
  ['no issuer', 'issuer', () => signed({ iss: undefined })],
  ['another audience', 'audience', () => signed({ aud: 'https://other.example.com' })],
  ['other audiences', 'audience', () => signed({ aud: ['https://other.example.com', `${issuer.url}/`] })],
  ['no audience', 'audience', () => signed({ aud: undefined })],
  ['an empty list of audiences', 'audience', () => signed({ aud: [] })],
  ['alg none', 'algorithm', () => new UnsecuredJWT(issuer.claims()).encode()],
  ['HS256 and the public key as secret', 'algorithm', () => signedWithPublicKey()],
  [
    'an algorithm that Better Auth does not have',
    'algorithm',
    async () => (await makeKey('ES384')).sign(issuer.claims()),
  ],
  ['an unknown kid', 'unknown_key', () => signed({}, { kid: 'unknown' })],
  ['the kid of a key of another kind', 'unknown_key', () => signed({}, { kid: issuer.keys[1]?.kid })],
  ["somebody else's signature", 'signature', () => stranger.sign(issuer.claims())],
  [
    "another token's signature",
    'signature',
    async () => splice(await signed({ sub: 'bob' }), await signed()),
  ],
  ['an access token (typ at+jwt)', 'claims', () => signed({}, { typ: 'at+jwt' })],
  ['a logout token (typ logout+jwt)', 'claims', () => signed({}, { typ: 'logout+jwt' })],
  ['an empty typ', 'claims', () => signed({}, { typ: '' })],
  ['a typ that is no text', 'claims', () => signed({}, { typ: 5 })],
  ['a typ that is null', 'claims', () => signed({}, { typ: null })],
  ['crit', 'malformed', () => withCrit()],
  ['more than 8 kB', 'malformed', () => signed({ padding: 'x'.repeat(8_000) })],
  ['two parts', 'malformed', async () => (await signed()).split('.').slice(0, 2).join('.')],
  ['five parts, as an encrypted one has', 'malformed', async () => `${await signed()}.AAAAAAAA.BBBBBBBB`],
  ['nothing in it', 'malformed', () => ''],
  ['dots only', 'malformed', () => '..'],
  ['garbage', 'malformed', () => 'not.a.token'],
  ['a header that is no JSON', 'malformed', async () => `AAAA${await signed()}`],
  ['claims that are no JSON', 'malformed', () => sealed('milk')],
  ['claims that are a list', 'malformed', () => sealed('["alice"]')],
  [
    'a key of its own in the header',
    'signature',
    () => stranger.sign(issuer.claims(), { jwk: stranger.jwk }),
  ],
]

test.each(refused)('a token with %s is refused: %s', async (_, reason, make) => {
  const error = await refusal(await make())
  expect(error).toMatchObject({ name: 'TokenError', reason })
  expect(error.message).not.toBe('')
})

describe('the clocks of issuer and API may differ by 5 seconds', () => {
  const atNoon = () => vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-11-21T12:00:00Z') })

  test.each<[string, (at: number) => JWTPayload]>([
    ['expired 4 seconds ago', at => ({ exp: at - 4 })],
    ['valid in 5 seconds', at => ({ nbf: at + 5 })],
    ['issued in 5 seconds', at => ({ iat: at + 5 })],
  ])('a token %s is accepted', async (_, claims) => {
    atNoon()
    expect(await verify(await signed(claims(now())))).toEqual({ id: 'alice' })
  })

  test.each<[string, TokenError['reason'], (at: number) => JWTPayload]>([
    ['expired 6 seconds ago', 'expired', at => ({ exp: at - 6 })],
    ['valid in 6 seconds', 'not_yet_valid', at => ({ nbf: at + 6 })],
    ['issued in 6 seconds', 'not_yet_valid', at => ({ iat: at + 6 })],
  ])('a token %s is refused: %s', async (_, reason, claims) => {
    atNoon()
    expect(await refusal(await signed(claims(now())))).toMatchObject({ reason })
  })
})

test('a key that the header points at is never fetched', async () => {
  await using web = await startWeb((_, res) => res.end(JSON.stringify({ keys: [stranger.jwk] })))
  const pointers = { jku: web.url, x5u: web.url }
  expect(await refusal(await stranger.sign(issuer.claims(), pointers))).toMatchObject({ reason: 'signature' })
  expect(await refusal(await stranger.sign(issuer.claims(), { ...pointers, kid: 'theirs' }))).toMatchObject({
    reason: 'unknown_key',
  })
  expect(web.requests()).toBe(0)
})

/** Claims of types that jose itself would not sign. */
const forged = (claims: Record<string, unknown>) => sealed(JSON.stringify({ ...issuer.claims(), ...claims }))

const sealed = (payload: string) =>
  new CompactSign(new TextEncoder().encode(payload))
    .setProtectedHeader({ alg: 'EdDSA', kid: key.kid })
    .sign(key.privateKey)

const withCrit = () =>
  new SignJWT(issuer.claims())
    .setProtectedHeader({
      alg: 'EdDSA',
      kid: key.kid,
      crit: ['https://example.com/x'],
      'https://example.com/x': 1,
    })
    .sign(key.privateKey, { crit: { 'https://example.com/x': true } })

async function signedWithPublicKey() {
  const secret = new TextEncoder().encode(await exportSPKI(key.publicKey))
  return new SignJWT(issuer.claims()).setProtectedHeader({ alg: 'HS256', kid: key.kid }).sign(secret)
}

function splice(token: string, signedBy: string) {
  const [header, payload] = token.split('.')
  return [header, payload, signedBy.split('.')[2]].join('.')
}

const textless = {
  toString() {
    throw new Error('No text.')
  },
}
test.each([undefined, null, 1, {}, ['a.b.c'], Symbol('a.b.c'), textless])(
  'what is no text is malformed, as plain JavaScript may have it: %#',
  async token => {
    const { verify } = createVerifier({ issuer: issuer.url, audience: issuer.url })
    await expect(Reflect.apply(verify, undefined, [token])).rejects.toMatchObject({ reason: 'malformed' })
  },
)

test('an isRevoked that throws an odd error is an outage as any other', async () => {
  const isRevoked = () => {
    throw Object.assign(new Error('odd'), { constructor: null })
  }
  const { verify } = createVerifier({ issuer: issuer.url, audience: issuer.url, isRevoked })
  await expect(verify(await signed())).rejects.toMatchObject({ reason: 'revocation_unavailable' })
})
