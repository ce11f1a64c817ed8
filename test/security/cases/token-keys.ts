import { certificateOf, ecdsaInDer } from './certificate.js'
import { severalIssuers, type TokenCase } from './token-case.js'
import {
  base64url,
  claims,
  good,
  goodOfOther,
  issuer,
  keys,
  noon,
  other,
  otherAudience,
  theirs,
  token,
  withParts,
  withSignature,
} from './token-fixtures.js'

const { ed, ed2, p256, p521, ps, rs, theirEd, theirP256, attacker } = keys

/** Signed by the attacker, with a header that names the key. */
const forged = (header: Record<string, unknown>) => token({ sub: 'admin' }, header, attacker)
const away = 'https://evil.example.net/keys'
const certificate = async () => (await certificateOf(attacker)).toString('base64')

/** RFC 8725 sections 3.5 and 3.10: keys in the header are never used. */
const keyCases: TokenCase[] = [
  ["somebody else's key under a known kid", 'signature', () => forged({})],
  ["somebody else's key under their own kid", 'unknown_key', () => forged({ kid: 'mine' })],
  ['a jwk of its own', 'signature', () => forged({ jwk: attacker.jwk })],
  [
    'a jwk of its own and its kid',
    'unknown_key',
    () => forged({ kid: 'mine', jwk: { ...attacker.jwk, kid: 'mine' } }),
  ],
  ['a jwk of its own and no kid', 'unknown_key', () => forged({ kid: undefined, jwk: attacker.jwk })],
  ['a jku', 'signature', () => forged({ jku: away })],
  ['a jku and its kid', 'unknown_key', () => forged({ kid: 'mine', jku: away })],
  [
    "a jku under the issuer's name",
    'unknown_key',
    () => forged({ kid: 'mine', jku: `${issuer}@evil.example.net` }),
  ],
  ['an x5u', 'signature', () => forged({ x5u: away })],
  ['an x5u and its kid', 'unknown_key', () => forged({ kid: 'mine', x5u: away })],
  ['an x5c', 'signature', async () => forged({ x5c: [await certificate()] })],
  ['an x5c and no kid', 'unknown_key', async () => forged({ kid: undefined, x5c: [await certificate()] })],
  ['a kid that is a URL', 'unknown_key', () => forged({ kid: away })],
  [
    'jwk, jku, x5u and x5c at once',
    'signature',
    async () => forged({ jwk: attacker.jwk, jku: away, x5u: away, x5c: [await certificate()] }),
  ],
  ['a jku that is not needed', 'accepted', () => token({}, { jku: away, x5u: away, jwk: attacker.jwk })],
  ['no kid, and two keys that fit', 'unknown_key', () => token({}, { kid: undefined })],
  ['no kid, and one key that fits', 'accepted', () => token({}, { kid: undefined }, p256)],
  ['no kid, and one key that fits but another', 'signature', () => token({}, { kid: undefined }, theirP256)],
  ['the kid of another key', 'signature', () => token({}, { kid: 'ed2' })],
  ['another key of the issuer', 'accepted', () => token({}, {}, ed2)],
  ['a kid that is a number', 'malformed', () => token({}, { kid: 1 })],
  ['a kid that is null', 'malformed', () => token({}, { kid: null })],
  ['a kid in a list', 'malformed', () => token({}, { kid: ['ed'] })],
  ['a kid that is an object', 'malformed', () => token({}, { kid: { toString: 'ed' } })],
  ['an empty kid', 'unknown_key', () => token({}, { kid: '' })],
  ['a kid in capitals', 'unknown_key', () => token({}, { kid: 'ED' })],
  ['a kid before a space', 'unknown_key', () => token({}, { kid: 'ed ' })],
  ['a kid before a NUL', 'unknown_key', () => token({}, { kid: 'ed\0' })],
  ['a kid that is a path', 'unknown_key', () => token({}, { kid: '../../../../dev/null' })],
  ['a kid that is SQL', 'unknown_key', () => token({}, { kid: "ed' UNION SELECT 'x" })],
  ['the kid __proto__', 'unknown_key', () => token({}, { kid: '__proto__' })],
  ['the kid constructor', 'unknown_key', () => token({}, { kid: 'constructor' })],
  ['a kid of 5,000 characters', 'unknown_key', () => token({}, { kid: 'k'.repeat(5_000) })],
]

const p256Order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
const ed25519Order = 2n ** 252n + 27742317777372353535851937790883648493n
const number = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
const bytesOf = (value: bigint) => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')

/** The second valid ECDSA signature, which anybody can compute from the first. */
const negated = (bytes: Buffer) =>
  Buffer.concat([bytes.subarray(0, 32), bytesOf(p256Order - number(bytes.subarray(32)))])

/** RFC 8032 section 5.1.7: S must be below the order of the group. */
const beyondOrder = (bytes: Buffer) => {
  const s = number(bytes.subarray(32).toReversed())
  return Buffer.concat([bytes.subarray(0, 32), bytesOf(s + ed25519Order).toReversed()])
}

const ofBytes = (length: number, value = 0) => Buffer.alloc(length, value)
const changed = async (key: typeof ed, change: (bytes: Buffer) => Uint8Array) =>
  withSignature(await token({}, {}, key), change)
const oneLess = (bytes: Buffer) => bytes.subarray(0, -1)
const oneMore = (bytes: Buffer) => Buffer.concat([bytes, ofBytes(1)])
const twice = (bytes: Buffer) => Buffer.concat([bytes, bytes])

/** RFC 7515 section 5.2, RFC 7518 sections 3.3 to 3.5. */
const signatureCases: TokenCase[] = [
  ['a signature that is empty', 'signature', () => withParts(good, { signature: '' })],
  ['a signature of zeros, EdDSA', 'signature', () => changed(ed, () => ofBytes(64))],
  ['a signature one byte short, EdDSA', 'signature', () => changed(ed, oneLess)],
  ['a signature one byte long, EdDSA', 'signature', () => changed(ed, oneMore)],
  ['a signature one byte short, ES256', 'signature', () => changed(p256, oneLess)],
  ['a signature one byte long, ES256', 'signature', () => changed(p256, oneMore)],
  ['a signature one byte short, ES512', 'signature', () => changed(p521, oneLess)],
  ['a signature one byte short, RS256', 'signature', () => changed(rs, oneLess)],
  ['a signature one byte long, PS256', 'signature', () => changed(ps, oneMore)],
  ['a signature twice over', 'signature', () => changed(ed, twice)],
  ['r and s of zero, ES256', 'signature', () => changed(p256, () => ofBytes(64))],
  ['r and s of zero, ES512', 'signature', () => changed(p521, () => ofBytes(132))],
  ['r and s the order of the curve', 'signature', () => changed(p256, () => twice(bytesOf(p256Order)))],
  [
    's of zero',
    'signature',
    () => changed(p256, bytes => Buffer.concat([bytes.subarray(0, 32), ofBytes(32)])),
  ],
  ['r and s of DER', 'signature', () => changed(p256, ecdsaInDer)],
  ['s negated, which signs the same', 'accepted', () => changed(p256, negated)],
  ['S beyond the order of the group', 'signature', () => changed(ed, beyondOrder)],
  ['a signature of zeros, RS256', 'signature', () => changed(rs, () => ofBytes(256))],
  [
    'a signature of one, RS256',
    'signature',
    () => changed(rs, () => Buffer.concat([ofBytes(255), ofBytes(1, 1)])),
  ],
  ['a signature beyond the modulus, PS256', 'signature', () => changed(ps, () => ofBytes(256, 255))],
  [
    "another token's signature",
    'signature',
    async () => withParts(await token({ sub: 'bob' }), { signature: good.split('.')[2] }),
  ],
  [
    "a known token's claims changed",
    'signature',
    () => withParts(good, { claims: base64url(claims({ sub: 'admin' })) }),
  ],
  ["a known token's signature changed", 'signature', () => changed(ed, bytes => bytes.toReversed())],
  [
    "a known token's header changed",
    'signature',
    () => withParts(good, { header: base64url({ kid: 'ed', alg: 'EdDSA' }) }),
  ],
  ['a signature of the claims alone', 'signature', () => ofClaimsAlone()],
]

async function ofClaimsAlone() {
  const [, payload = ''] = good.split('.')
  return (
    withSignature(good, () => ofBytes(0)) + base64url(await ed.signature(new TextEncoder().encode(payload)))
  )
}

/** RFC 8725 sections 3.8 and 3.9: a token of one issuer is never accepted as another's. */
const issuerCases: TokenCase[] = [
  ['two issuers: a token of the first', 'accepted', () => token({ jti: '1' }), severalIssuers],
  [
    'two issuers: a token of the second',
    'accepted',
    () => token({ ...theirs, jti: '1' }, {}, theirEd),
    severalIssuers,
  ],
  ["two issuers: the second's name, the first's key", 'signature', () => token(theirs), severalIssuers],
  [
    "two issuers: the first's name, the second's key",
    'signature',
    () => token({}, {}, theirEd),
    severalIssuers,
  ],
  [
    "two issuers: the second's name, a key of the first by another kid",
    'unknown_key',
    () => token(theirs, {}, ed2),
    severalIssuers,
  ],
  [
    "two issuers: the second's token for the first's audience",
    'audience',
    () => token({ ...theirs, aud: issuer }, {}, theirEd),
    severalIssuers,
  ],
  [
    "two issuers: the first's token for the second's audience",
    'audience',
    () => token({ aud: otherAudience }),
    severalIssuers,
  ],
  [
    "two issuers: the second's key of an algorithm for the first alone",
    'algorithm',
    () => token(theirs, {}, theirP256),
    severalIssuers,
  ],
  ['two issuers: both names', 'issuer', () => token({ iss: [issuer, other] }), severalIssuers],
  [
    'two issuers: a name that is no text in any way',
    'issuer',
    () => withParts(good, { claims: base64url({ iss: { toString: 1 } }) }),
    severalIssuers,
  ],
  [
    'two issuers: a name whose toString is null, signed',
    'issuer',
    () => token({ iss: { toString: null, valueOf: null } }),
    severalIssuers,
  ],
  [
    'two issuers: a name in a list that is no text',
    'issuer',
    () => token({ iss: [{ toString: 1 }] }),
    severalIssuers,
  ],
  ['two issuers: no name', 'issuer', () => token({ iss: undefined }), severalIssuers],
  [
    'two issuers: the name of a third',
    'issuer',
    () => token({ iss: 'https://evil.example.net' }),
    severalIssuers,
  ],
  ['two issuers: the name __proto__', 'issuer', () => token({ iss: '__proto__' }), severalIssuers],
  [
    "two issuers: the second's token with the first's name",
    'signature',
    () => withParts(goodOfOther, { claims: base64url(claims()) }),
    severalIssuers,
  ],
  [
    "two issuers: the second's token is expired",
    'expired',
    () => token({ ...theirs, exp: noon - 60 }, {}, theirEd),
    severalIssuers,
  ],
  ["one issuer: another's token", 'signature', () => goodOfOther],
]

export const keyAndSignatureCases: TokenCase[] = [...keyCases, ...signatureCases, ...issuerCases]
