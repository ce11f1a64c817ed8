import {
  constants,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  sign as signature,
} from 'node:crypto'
import { expect } from 'vitest'
import { type Cases, casesOf, encode, startScenario } from './issuer-scenario.js'

type Jwk = Record<string, unknown>

/** A published key, and the outcome of a token signed with its private half. */
interface Row {
  jwk: Jwk
  header: { alg: string; kid?: string | undefined }
  sign: (data: Buffer) => Buffer
  outcome: string
}

const pairs = {
  RSA: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  'RSA 1024': generateKeyPairSync('rsa', { modulusLength: 1024 }),
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  secp256k1: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
  Ed25519: generateKeyPairSync('ed25519'),
}
const hashes: Record<string, string> = { ES384: 'sha384', ES512: 'sha512' }

function signBy(key: KeyObject, alg: string) {
  if (alg === 'EdDSA') return (data: Buffer) => signature(null, data, key)
  const padding = alg === 'PS256' ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING
  const saltLength = constants.RSA_PSS_SALTLEN_DIGEST
  const options = alg.startsWith('ES') ? { dsaEncoding: 'ieee-p1363' as const } : { padding, saltLength }
  return (data: Buffer) => signature(hashes[alg] ?? 'sha256', data, { key, ...options })
}

/** A changed key, and a token that its owner signs with `alg`. */
function key(kind: keyof typeof pairs, alg: string, change: Jwk, outcome: string, kid?: string | null): Row {
  const { publicKey, privateKey } = pairs[kind]
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'beside', ...change }
  return {
    jwk,
    header: { alg, kid: kid === null ? undefined : (kid ?? 'beside') },
    sign: signBy(privateKey, alg),
    outcome,
  }
}

const secret = Buffer.alloc(32, 7)
const shared = (kid: string, change: Jwk = {}): Row => ({
  jwk: { kty: 'oct', k: secret.toString('base64url'), kid, ...change },
  header: { alg: 'HS256', kid },
  sign: data => createHmac('sha256', secret).update(data).digest(),
  outcome: 'algorithm',
})

/** With an exponent of 1 the signature is the padded message (RFC 8017 section 9.2), so anybody can make it. */
function unsigned(data: Buffer): Buffer {
  const digestInfo = Buffer.from('3031300d060960864801650304020105000420', 'hex')
  const digest = Buffer.concat([digestInfo, hashOf(data)])
  return Buffer.concat([Buffer.of(0, 1), Buffer.alloc(256 - 3 - digest.length, 0xff), Buffer.of(0), digest])
}
const hashOf = (data: Buffer) => createHash('sha256').update(data).digest()

const { y = '' } = pairs['P-256'].publicKey.export({ format: 'jwk' })
const offCurve = `${y.startsWith('A') ? 'B' : 'A'}${y.slice(1)}`

/** The eight Ed25519 points of small order in all their encodings, without the sign of x. */
const smallOrderPoints = [
  `00${'00'.repeat(30)}00`,
  `01${'00'.repeat(30)}00`,
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]

/** With such a key the neutral point and a zero are a signature of every message, or of one in eight. */
function smallOrder(hex: string, sign: number): Row {
  const point = Buffer.from(hex, 'hex')
  point.writeUInt8(point.readUInt8(31) | sign, 31)
  const row = key('Ed25519', 'EdDSA', { x: point.toString('base64url') }, 'unknown_key')
  return { ...row, sign: () => Buffer.concat([Buffer.of(1), Buffer.alloc(63)]) }
}

const rows: Record<string, Row> = {
  'for encrypting': key('P-256', 'ES256', { use: 'enc' }, 'unknown_key'),
  'for signing': key('P-256', 'ES256', { use: 'sig' }, 'accepted'),
  'whose use is unknown': key('P-256', 'ES256', { use: 'tls' }, 'unknown_key'),
  'whose use is null': key('P-256', 'ES256', { use: null }, 'unknown_key'),
  'whose key_ops lack verify': key('P-256', 'ES256', { key_ops: ['sign', 'deriveBits'] }, 'unknown_key'),
  'whose key_ops are none': key('P-256', 'ES256', { key_ops: [] }, 'unknown_key'),
  'whose key_ops are text': key('P-256', 'ES256', { key_ops: 'verify' }, 'unknown_key'),
  'whose key_ops hold verify and a word': key('P-256', 'ES256', { key_ops: ['x', 'verify'] }, 'accepted'),
  'whose alg is unknown': key('P-256', 'ES256', { alg: 'ES257' }, 'unknown_key'),
  'whose alg is none': key('Ed25519', 'EdDSA', { alg: 'none' }, 'unknown_key'),
  'whose alg is null': key('P-256', 'ES256', { alg: null }, 'unknown_key'),
  'whose alg is of another kind': key('RSA', 'RS256', { alg: 'ES256' }, 'unknown_key'),
  'that is bound to RS256, for PS256': key('RSA', 'PS256', { alg: 'RS256' }, 'unknown_key'),
  'that is bound to PS256, for RS256': key('RSA', 'RS256', { alg: 'PS256' }, 'unknown_key'),
  'that is bound to RS256, for RS256': key('RSA', 'RS256', { alg: 'RS256' }, 'accepted'),
  'that is bound to nothing, for PS256': key('RSA', 'PS256', {}, 'accepted'),
  'of a kty that we do not know': key('Ed25519', 'EdDSA', { kty: 'AKP' }, 'unknown_key'),
  'without kty': key('Ed25519', 'EdDSA', { kty: undefined }, 'unknown_key'),
  'whose kty is a number': key('Ed25519', 'EdDSA', { kty: 1 }, 'unknown_key'),
  'of RSA with 1024 bits': key('RSA 1024', 'RS256', {}, 'unknown_key'),
  'of RSA with 2048 bits': key('RSA', 'RS256', {}, 'accepted'),
  'of RSA with the exponent 1': { ...key('RSA', 'RS256', { e: 'AQ' }, 'unknown_key'), sign: unsigned },
  'of RSA with an exponent of 33 bits': key('RSA', 'RS256', { e: 'AQAAAAE' }, 'unknown_key'),
  'of RSA without modulus': key('RSA', 'RS256', { n: undefined }, 'unknown_key'),
  'whose point is not on its curve': key('P-256', 'ES256', { y: offCurve }, 'unknown_key'),
  'whose curve is not the one of its point': key('P-256', 'ES256', { crv: 'P-521' }, 'unknown_key'),
  'on P-521': key('P-521', 'ES512', {}, 'accepted'),
  'on P-384': key('P-384', 'ES384', {}, 'accepted'),
  'on P-384, said to be on P-256': key('P-384', 'ES256', { crv: 'P-256' }, 'unknown_key'),
  'on secp256k1': key('secp256k1', 'ES256', {}, 'unknown_key'),
  ...Object.fromEntries(
    smallOrderPoints.flatMap(hex =>
      [0, 0x80].map(sign => [
        `that is a point of small order, ${hex.slice(0, 8)}..., sign ${sign}`,
        smallOrder(hex, sign),
      ]),
    ),
  ),
  'on X25519': key('Ed25519', 'EdDSA', { crv: 'X25519' }, 'unknown_key'),
  'whose x is null': key('Ed25519', 'EdDSA', { x: null }, 'unknown_key'),
  'whose x is not base64url': key('Ed25519', 'EdDSA', { x: '!' }, 'unknown_key'),
  'without kid, for a token with one': key('P-256', 'ES256', { kid: undefined }, 'unknown_key'),
  'without kid, for a token without': key('P-256', 'ES256', { kid: undefined }, 'accepted', null),
  'with a kid, for a token without, where two fit': key('Ed25519', 'EdDSA', {}, 'unknown_key', null),
  'whose kid is a number': key('P-256', 'ES256', { kid: 1 }, 'unknown_key', '1'),
  'whose kid is null': key('P-256', 'ES256', { kid: null }, 'unknown_key', null),
  'with a certificate and a place for more': key('P-256', 'ES256', { x5c: ['AAAA'], x5u: 'a' }, 'accepted'),
  'that is shared, for HS256': shared('beside'),
  'that is shared, bound to HS256': shared('beside', { alg: 'HS256', use: 'sig' }),
}

export const keysBeside: Cases = casesOf(
  rows,
  ({ jwk, header, sign, outcome }) =>
    async make => {
      await using scene = await startScenario(make)
      scene.state.keys.unshift(jwk)
      const [, claims] = (await scene.sign(scene.key)).split('.')
      const signed = `${encode(header)}.${claims}`
      const token = `${signed}.${sign(Buffer.from(signed)).toString('base64url')}`
      expect(await scene.outcome(token)).toBe(outcome)
      await scene.call()
      scene.expectAllServed()
      expect(scene.problems).toEqual([])
    },
  row => `a key ${row}, beside a good one`,
)
