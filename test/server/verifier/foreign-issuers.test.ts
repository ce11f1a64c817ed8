import { describe, expect, test } from 'vitest'
import { createVerifier, TokenError } from '../../../server/verifier/index.js'
import { supportedAlgorithms } from '../../../server/verifier/token/algorithms.js'
import { seconds } from '../../parts/clock.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'
import { issuerShapes } from '../../parts/issuer-shapes.js'

const issuer = 'https://auth.example.com'
const key = await makeKey()
/** An RSA key takes a second to make. */
const made = new Map<string, ReturnType<typeof makeKey>>()
const keyFor = (alg: string) => {
  const known = made.get(alg) ?? makeKey(alg)
  made.set(alg, known)
  return known
}
const keys = [key.jwk]
const outcome = (verifier: ReturnType<typeof createVerifier>, token: string) =>
  verifier.verify(token).then(
    ({ id }) => id,
    (error: unknown) => (error instanceof TokenError ? [error.reason, error.token?.hint ?? ''] : error),
  )
const signed = (claims: Record<string, unknown>) => key.sign(claimsFrom(issuer, claims))

describe('algorithms', () => {
  test.each(supportedAlgorithms)('%s is accepted by default', async alg => {
    const signer = await keyFor(alg)
    const verifier = createVerifier({ issuer, audience: issuer, keys: [signer.jwk] })
    expect(await outcome(verifier, await signer.sign(claimsFrom(issuer)))).toBe('alice')
  })

  test.each([
    ['EdDSA', 'Ed25519'],
    ['Ed25519', 'EdDSA'],
  ])('a key for %s verifies %s too, because they are one algorithm', async (named, alg) => {
    const verifier = createVerifier({ issuer, audience: issuer, keys: [{ ...key.jwk, alg: named }] })
    expect(await outcome(verifier, await key.sign(claimsFrom(issuer), { alg }))).toBe('alice')
  })
})

describe('audiences', () => {
  const verifier = createVerifier({ issuer, audience: ['web', 'mobile'], keys })

  test.each([['web'], ['mobile'], [['other', 'mobile']]])('any of the list is accepted: %j', async aud => {
    expect(await outcome(verifier, await signed({ aud }))).toBe('alice')
  })

  test.each([['other'], [['other']], [[]], [['web', 1]], [1], [null], ['']])(
    'another one is refused: %j',
    async aud => {
      expect(await outcome(verifier, await signed({ aud }))).toEqual(['audience', expect.any(String)])
    },
  )
})

describe('tokens without an audience', () => {
  const verifier = createVerifier({ issuer, audience: null, authorizedParties: ['web', 'mobile'], keys })

  test.each([{ azp: 'web' }, { client_id: 'mobile' }, { azp: 'web', client_id: 'other' }])(
    'are accepted from an authorized party: %j',
    async claims => {
      expect(await outcome(verifier, await signed({ aud: undefined, ...claims }))).toBe('alice')
    },
  )

  test.each([
    {},
    { azp: 'other' },
    { azp: 'other', client_id: 'web' },
    { azp: ['web'] },
    { azp: 1 },
    { azp: null },
    { azp: '' },
    { client_id: 'other' },
    { azp: 'web', aud: 'another-api' },
    { azp: 'web', aud: null },
  ])('are refused otherwise: %j', async claims => {
    const [reason, hint] = [await outcome(verifier, await signed({ aud: undefined, ...claims }))].flat()
    expect([reason, hint]).toEqual(['audience', expect.stringMatching(/azp or client_id|It has the aud/)])
  })

  test('need authorizedParties', () => {
    expect(() => createVerifier({ issuer, audience: null, keys })).toThrow('needs authorizedParties')
    expect(() => createVerifier({ issuer, audience: null, authorizedParties: [], keys })).toThrow(
      'a list of strings',
    )
  })

  test('with an audience authorizedParties is checked too', async () => {
    const both = createVerifier({ issuer, audience: issuer, authorizedParties: ['web'], keys })
    expect(await outcome(both, await signed({ azp: 'web' }))).toBe('alice')
    expect(await outcome(both, await signed({}))).toEqual(['audience', expect.stringContaining('is missing')])
  })
})

describe('an issuer with many names', () => {
  const user = ({ iss, sub }: { iss: string; sub: string }) => ({ id: `${sub} of ${iss}` })
  const tenantOf = (name: string) => `https://login.example.com/${name}/v2.0`
  const accepted = new Set([tenantOf('acme'), tenantOf('globex')])
  const verifier = createVerifier({ issuer: iss => accepted.has(iss), audience: 'api', user, keys })
  const from = (iss: unknown) => signed({ iss, aud: 'api' })

  test('accepts those that the function accepts', async () => {
    for (const name of ['acme', 'globex'])
      expect(await outcome(verifier, await from(tenantOf(name)))).toBe(`alice of ${tenantOf(name)}`)
  })

  test.each([tenantOf('evil'), 'acme', '', 1, null, undefined, [tenantOf('acme')]])(
    'refuses another iss: %j',
    async iss => {
      expect(await outcome(verifier, await from(iss))).toEqual([
        'issuer',
        expect.stringContaining('Its iss is'),
      ])
    },
  )

  test.each([
    [
      'throws',
      () => {
        throw new Error('odd')
      },
    ],
    ['answers something else than true', () => JSON.parse('"yes"')],
  ])('a function that %s refuses the token', async (_, isIssuer) => {
    const strange = createVerifier({ issuer: isIssuer, audience: 'api', user, keys })
    expect(await outcome(strange, await from(tenantOf('acme')))).toEqual(['issuer', expect.any(String)])
  })

  test('needs keys or their URL, and a user', () => {
    expect(() => createVerifier({ issuer: () => true, audience: 'api', user })).toThrow(
      'needs jwksUrl or keys',
    )
    expect(() => createVerifier({ issuer: () => true, audience: 'api', user, discover: true })).toThrow(
      'needs jwksUrl or keys',
    )
    expect(() => createVerifier({ issuer: () => true, audience: 'api', keys })).toThrow(
      'need the user option',
    )
  })

  test('may stand beside other issuers', async () => {
    const other = await makeKey('RS256')
    const several = createVerifier({
      issuers: [
        { issuer, audience: 'web', keys: [other.jwk] },
        { issuer: iss => accepted.has(iss), audience: 'api', keys },
      ],
      user,
    })
    expect(await outcome(several, await from(tenantOf('acme')))).toBe(`alice of ${tenantOf('acme')}`)
    const own = await other.sign(claimsFrom(issuer, { aud: 'web' }))
    expect(await outcome(several, own)).toBe(`alice of ${issuer}`)
    expect(await outcome(several, await signed({ aud: 'web' }))).toEqual(['unknown_key', ''])
  })
})

test.each<[string, string]>([
  ['alg', '{"alg":{"toString":1}}.{}'],
  ['alg', `{"alg":${'['.repeat(5_000)}${']'.repeat(5_000)}}.{}`],
  ['iss', `{"alg":"EdDSA"}.{"iss":${'['.repeat(5_000)}${']'.repeat(5_000)}}`],
  ['iss', '{"alg":"EdDSA"}.{"iss":{"toJSON":1}}'],
])('a forged %s of an odd type is refused, and not an error of the server', async (_, parts) => {
  const user = ({ sub }: { sub: string }) => ({ id: sub })
  const several = createVerifier({
    issuers: [
      { issuer, audience: 'web', keys },
      { issuer: 'https://other.example.com', audience: 'web', keys },
    ],
    user,
  })
  const token = `${parts
    .split('.')
    .map(part => Buffer.from(part).toString('base64url'))
    .join('.')}.AAAA`
  for (const verifier of [several, createVerifier({ issuer, audience: 'web', keys })])
    expect(await outcome(verifier, token)).toEqual([expect.any(String), expect.any(String)])
})

test.each(issuerShapes.map(shape => [shape.name, shape] as const))(
  'a token of %s is accepted with the options of docs/verifier.md',
  async (_, { options, header, claims, expected }) => {
    const signer = await keyFor(header.alg)
    const verifier = createVerifier({ ...options, keys: [signer.jwk] })
    const times = { iat: seconds(), exp: seconds() + 60 }
    expect(await verifier.verify(await signer.sign({ ...claims, ...times }, header))).toEqual(expected)
  },
)
