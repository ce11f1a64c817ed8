import { exportSPKI } from 'jose'
import type { TokenCase } from './token-case.js'
import {
  base64url,
  claims,
  good,
  keys,
  type Signer,
  sealed,
  token,
  usedAs,
  withParts,
} from './token-fixtures.js'

const { ed, p256, p521, ps, rs } = keys

/** A token without a signature (RFC 7518 section 3.6). */
const unsecured = (header: Record<string, unknown>) =>
  `${base64url({ kid: 'ed', ...header })}.${base64url(claims({ sub: 'admin' }))}.`

/** RFC 8725 section 2.1: an HMAC with the public key as the secret. */
async function hmac(alg: 'HS256' | 'HS384' | 'HS512', secret: Uint8Array<ArrayBuffer>, { kid }: Signer) {
  const algorithm = { name: 'HMAC', hash: `SHA-${alg.slice(2)}` }
  const key = await crypto.subtle.importKey('raw', secret, algorithm, false, ['sign'])
  const input = `${base64url({ alg, kid })}.${base64url(claims({ sub: 'admin' }))}`
  const bytes = await crypto.subtle.sign('HMAC', key, new TextEncoder().encode(input))
  return `${input}.${base64url(new Uint8Array(bytes))}`
}

const text = (value: string) => new TextEncoder().encode(value)
const spki = async ({ publicKey }: Signer) => new Uint8Array(await crypto.subtle.exportKey('spki', publicKey))
const coordinate = ({ jwk }: Signer) => new Uint8Array(Buffer.from(jwk.x ?? '', 'base64url'))

/** RFC 8725 sections 2.1, 3.1 and 3.2. */
export const algorithmCases: TokenCase[] = [
  ['alg none', 'algorithm', () => unsecured({ alg: 'none' })],
  ['alg None', 'algorithm', () => unsecured({ alg: 'None' })],
  ['alg NONE', 'algorithm', () => unsecured({ alg: 'NONE' })],
  ['alg nOnE', 'algorithm', () => unsecured({ alg: 'nOnE' })],
  ['alg none after a space', 'algorithm', () => unsecured({ alg: ' none' })],
  ['alg none before a NUL', 'algorithm', () => unsecured({ alg: 'none\0' })],
  ['alg none in a list', 'algorithm', () => unsecured({ alg: ['none'] })],
  ['alg none without a kid', 'algorithm', () => unsecured({ alg: 'none', kid: undefined })],
  ['alg none over a real signature', 'algorithm', () => token({}, { alg: 'none' })],
  ['no alg', 'algorithm', () => token({}, { alg: undefined })],
  ['an empty alg', 'algorithm', () => token({}, { alg: '' })],
  ['an alg that is null', 'algorithm', () => token({}, { alg: null })],
  ['an alg that is a number', 'algorithm', () => token({}, { alg: 0 })],
  ['an alg that is true', 'algorithm', () => token({}, { alg: true })],
  ['an alg in a list', 'algorithm', () => token({}, { alg: ['EdDSA'] })],
  ['alg eddsa in lower case', 'algorithm', () => token({}, { alg: 'eddsa' })],
  ['alg EdDSA before a space', 'algorithm', () => token({}, { alg: 'EdDSA ' })],
  ['alg Ed25519, the other name of EdDSA', 'accepted', () => token({}, { alg: 'Ed25519' })],
  ['alg ES256K', 'algorithm', () => token({}, { alg: 'ES256K' }, p256)],
  ['alg ES384 with a key on P-256', 'unknown_key', () => token({}, { alg: 'ES384' }, p256)],
  ['alg RS512 with a key for RS256', 'unknown_key', () => token({}, { alg: 'RS512' }, rs)],
  ['alg RS1', 'algorithm', () => token({}, { alg: 'RS1' }, rs)],
  ['alg dir, which encrypts', 'algorithm', () => token({}, { alg: 'dir', enc: 'A256GCM' })],
  ['alg constructor', 'algorithm', () => token({}, { alg: 'constructor' })],
  ['alg __proto__', 'algorithm', () => token({}, { alg: '__proto__' })],
  ['alg in the prototype', 'algorithm', () => sealed('{"__proto__":{"alg":"EdDSA"},"kid":"ed"}', claims())],
  [
    'HS256, the PEM for a secret',
    'algorithm',
    async () => hmac('HS256', text(await exportSPKI(rs.publicKey)), rs),
  ],
  [
    'HS256, the PEM without its last newline',
    'algorithm',
    async () => hmac('HS256', text((await exportSPKI(rs.publicKey)).trim()), rs),
  ],
  ['HS256, the JWK for a secret', 'algorithm', () => hmac('HS256', text(JSON.stringify(ed.jwk)), ed)],
  ['HS256, the DER for a secret', 'algorithm', async () => hmac('HS256', await spki(p256), p256)],
  ['HS256, the raw key for a secret', 'algorithm', () => hmac('HS256', coordinate(ed), ed)],
  ['HS384, the DER for a secret', 'algorithm', async () => hmac('HS384', await spki(ps), ps)],
  ['HS512, the raw key for a secret', 'algorithm', () => hmac('HS512', coordinate(p521), p521)],
  ['HS256, a zero for a secret', 'algorithm', () => hmac('HS256', new Uint8Array(1), ed)],
  ['PS256 with a key for RS256', 'unknown_key', async () => token({}, {}, await usedAs('PS256', rs))],
  ['RS256 with a key for PS256', 'unknown_key', async () => token({}, {}, await usedAs('RS256', ps))],
  ['a signature of PS256 said to be RS256', 'signature', () => token({}, { alg: 'RS256', kid: 'rs' }, ps)],
  ['a signature of RS256 said to be PS256', 'signature', () => token({}, { alg: 'PS256', kid: 'ps' }, rs)],
  ['ES256 under the name of an EdDSA key', 'unknown_key', () => token({}, { kid: 'ed' }, p256)],
  ['EdDSA under the name of an RSA key', 'unknown_key', () => token({}, { kid: 'rs' })],
  ['ES512 under the name of a P-256 key', 'unknown_key', () => token({}, { alg: 'ES512' }, p256)],
  ['a signature of ES256 said to be EdDSA', 'signature', () => token({}, { alg: 'EdDSA', kid: 'ed' }, p256)],
  ['an algorithm that is not of the list', 'algorithm', () => token({}, {}, p256), { algorithms: ['EdDSA'] }],
  ['a header of another algorithm on a known token', 'signature', () => swappedHeader()],
  ['EdDSA', 'accepted', () => good],
  ['ES256', 'accepted', () => token({}, {}, p256)],
  ['ES512', 'accepted', () => token({}, {}, p521)],
  ['PS256', 'accepted', () => token({}, {}, ps)],
  ['RS256', 'accepted', () => token({}, {}, rs)],
]

const swappedHeader = () => withParts(good, { header: base64url({ alg: 'ES256', kid: 'p256' }) })
