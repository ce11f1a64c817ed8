import { inspect } from 'node:util'
import { CompactSign, type JWTPayload, SignJWT } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { createVerifier, TokenError, type Verifier } from '../../../server/index.js'
import { seconds as now } from '../../parts/clock.js'
import { type Key, makeKey, startIssuer } from '../../parts/issuer.js'

let issuer: Awaited<ReturnType<typeof startIssuer>>
let key: Key
beforeAll(async () => {
  key = await makeKey('EdDSA')
  issuer = await startIssuer({ keys: [key] })
})
afterAll(() => issuer[Symbol.asyncDispose]())
afterEach(() => void vi.useRealTimers())

const verify = (token: string) => createVerifier({ issuer: issuer.url, audience: issuer.url }).verify(token)
const signed = (claims: JWTPayload = {}, header = {}) => key.sign(issuer.claims(claims), header)

/** Everything that a log could print of an error: message, stack, causes, hidden properties. */
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

type Make = () => string | Promise<string>

const accepted: [what: string, make: Make][] = [
  ['no typ', () => signed()],
  ['typ JWT', () => signed({}, { typ: 'JWT' })],
  ['typ jwt', () => signed({}, { typ: 'jwt' })],
  ['our audience among others', () => signed({ aud: ['https://other.example.com', issuer.url] })],
  ['no iat', () => signed({ iat: undefined })],
  ['a sub of 255 characters beyond the basic plane', () => signed({ sub: '🦊'.repeat(255) })],
  ['a sub with spaces around and capitals', () => signed({ sub: ' Alice\n' })],
  ['many claims, within 16 kB', () => signed({ padding: 'x'.repeat(11_000) })],
]

test.each(accepted)('a token with %s is accepted', async (_, make) => {
  expect(await verify(await make())).toMatchObject({ id: expect.any(String) })
})

test('the id is exactly the sub', async () => {
  expect(await verify(await signed({ sub: ' Ålice\n' }))).toEqual({ id: ' Ålice\n' })
})

test('email and name that are not strings are left out', async () => {
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
  ['an exp that is a string', 'claims', () => forged({ exp: '2099-01-01' })],
  ['an iat that is a string', 'claims', () => forged({ iat: 'now' })],
  ['an nbf that is a string', 'claims', () => forged({ nbf: 'now' })],
  ['another issuer', 'issuer', () => signed({ iss: 'https://evil.example.com' })],
  ["our issuer's URL with a slash", 'issuer', () => signed({ iss: `${issuer.url}/` })],
  ['no issuer', 'issuer', () => signed({ iss: undefined })],
  ['another audience', 'audience', () => signed({ aud: 'https://other.example.com' })],
  ['other audiences', 'audience', () => signed({ aud: ['https://other.example.com', `${issuer.url}/`] })],
  ['no audience', 'audience', () => signed({ aud: undefined })],
  ['an empty list of audiences', 'audience', () => signed({ aud: [] })],
  ['an access token (typ at+jwt)', 'claims', () => signed({}, { typ: 'at+jwt' })],
  ['a logout token (typ logout+jwt)', 'claims', () => signed({}, { typ: 'logout+jwt' })],
  ['an empty typ', 'claims', () => signed({}, { typ: '' })],
  ['a typ that is not a string', 'claims', () => signed({}, { typ: 5 })],
  ['a typ that is null', 'claims', () => signed({}, { typ: null })],
  ['crit', 'malformed', () => withCrit()],
  ['more than 16 kB', 'malformed', () => signed({ padding: 'x'.repeat(16_000) })],
  ['two parts', 'malformed', async () => (await signed()).split('.').slice(0, 2).join('.')],
  ['five parts, as an encrypted one has', 'malformed', async () => `${await signed()}.AAAAAAAA.BBBBBBBB`],
  ['no characters', 'malformed', () => ''],
  ['dots only', 'malformed', () => '..'],
  ['garbage', 'malformed', () => 'not.a.token'],
  ['a header that is not JSON', 'malformed', async () => `AAAA${await signed()}`],
  ['claims that are not JSON', 'malformed', () => sealed('milk')],
  ['claims that are a list', 'malformed', () => sealed('["alice"]')],
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

/** Claims that jose would not sign. */
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

const withoutString = {
  toString() {
    throw new Error('No string.')
  },
}
test.each([undefined, null, 1, {}, ['a.b.c'], Symbol('a.b.c'), withoutString])(
  'in plain JavaScript, a token that is not a string is malformed: %#',
  async token => {
    const { verify } = createVerifier({ issuer: issuer.url, audience: issuer.url })
    await expect(Reflect.apply(verify, undefined, [token])).rejects.toMatchObject({ reason: 'malformed' })
  },
)

test.each([undefined, null, '', 0, 1, Number.NaN, 'no', {}])(
  'an isRevoked that returns %j instead of a boolean is an outage',
  async answer => {
    const isRevoked = () => answer
    for (const onRevocationError of ['refuse', 'accept'] as const) {
      // As a caller in JavaScript does it.
      const options = { issuer: issuer.url, audience: issuer.url, isRevoked, onRevocationError }
      const { verify }: Verifier = Reflect.apply(createVerifier, undefined, [options])
      await expect(verify(await signed())).rejects.toMatchObject({ reason: 'revocation_unavailable' })
    }
  },
)

test('an isRevoked that throws an error without a constructor is an outage', async () => {
  const isRevoked = () => {
    throw Object.assign(new Error('odd'), { constructor: null })
  }
  const { verify } = createVerifier({ issuer: issuer.url, audience: issuer.url, isRevoked })
  await expect(verify(await signed())).rejects.toMatchObject({ reason: 'revocation_unavailable' })
})

test('an issuer that the function accepts no more is refused at once, known token or not', async () => {
  const tenants = new Set([issuer.url])
  const verifier = createVerifier({
    issuer: iss => typeof iss === 'string' && tenants.has(iss),
    audience: issuer.url,
    keys: [key.jwk],
    user: ({ sub }) => ({ id: sub }),
  })
  const token = await signed()
  expect(await verifier.verify(token)).toEqual({ id: 'alice' })
  tenants.clear()
  await expect(verifier.verify(token)).rejects.toMatchObject({ reason: 'issuer' })
  tenants.add(issuer.url)
  expect(await verifier.verify(token)).toEqual({ id: 'alice' })
})
