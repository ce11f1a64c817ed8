import { type CryptoKey, calculateJwkThumbprint, importJWK, type JWK } from 'jose'
import { type Algorithm, algorithmsOf } from '../token/algorithms.js'
import { isObject } from '../token/json.js'

/** A public key that verifies tokens. */
export interface SigningKey {
  /** Equal for the same key under the same kid, whenever it is read. */
  id: string
  kid: string | undefined
  /** The imported key for each algorithm that it may be used with. */
  forms: ReadonlyMap<Algorithm, CryptoKey>
}

/** The key set contains a private key: whoever reads it can sign tokens. */
export class PrivateKeyError extends TypeError {
  override name = 'PrivateKeyError'
}

/** By `kty`. In an unknown type the same names may mean something else. */
const privateMembers = new Map<unknown, readonly string[]>([
  ['RSA', ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth']],
  ['EC', ['d']],
  ['OKP', ['d']],
])
const minRsaBits = 2_048
const maxRsaBits = 16_384
const maxExponentBits = 32
/** The y coordinates of the Ed25519 points of small order, as they are encoded: canonical, and with the prime added. */
const smallOrderPoints = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

/** Whether a JWK has members of a private key (RFC 7518 section 6, RFC 8037 section 2). */
export const isPrivate = (jwk: { kty?: unknown }) =>
  privateMembers.get(jwk.kty)?.some(name => name in jwk) ?? false

/**
 * Reads the keys of a set (RFC 7517) that can verify a signature. Skips keys of other types, uses and algorithms (section 5), and weak
 * keys: RSA under 2048 bits (RFC 7518 section 3.3) or too costly to verify with, and Ed25519 points of small order.
 *
 * @throws PrivateKeyError if one of them is a private key
 */
export async function readSigningKeys(jwks: readonly unknown[]): Promise<SigningKey[]> {
  const keys = await Promise.all(jwks.filter(isObject).map(readSigningKey))
  return keys.filter(key => key !== undefined)
}

async function readSigningKey(jwk: Record<string, unknown>): Promise<SigningKey | undefined> {
  if (isPrivate(jwk))
    throw new PrivateKeyError(
      'One of the keys is a private key. Replace it: whoever can read the set can sign tokens.',
    )
  const { kid, alg } = jwk
  if (kid !== undefined && typeof kid !== 'string') return undefined
  const forms = new Map<Algorithm, CryptoKey>()
  for (const algorithm of verifiesWith(jwk)) {
    const key = await importPublicKey(jwk, algorithm)
    if (key !== undefined) forms.set(algorithm, key)
  }
  if (forms.size === 0) return undefined
  const id = JSON.stringify([kid, alg, await calculateJwkThumbprint(publicMembers(jwk))])
  return { id, kid, forms }
}

/** Whether one of the JWKs describes itself as a key for verifying. Only importing it shows whether it works. */
export const canAnyVerify = (jwks: readonly unknown[]) =>
  jwks.filter(isObject).some(jwk => verifiesWith(jwk).length > 0)

function verifiesWith(jwk: Record<string, unknown>): Algorithm[] {
  const { use, key_ops: uses } = jwk
  if (use !== undefined && use !== 'sig') return []
  if (uses !== undefined && !(Array.isArray(uses) && uses.includes('verify'))) return []
  return algorithmsOf(jwk)
}

/** Only what defines the key, so that `ext`, `key_ops` and certificates do not influence the import. */
function publicMembers({ kty, crv, x, y, n, e }: Record<string, unknown>): JWK {
  const members = Object.entries({ kty, crv, x, y, n, e })
  return Object.fromEntries(members.filter(([, value]) => typeof value === 'string'))
}

/** Undefined for a broken or weak key. */
async function importPublicKey(
  jwk: Record<string, unknown>,
  algorithm: Algorithm,
): Promise<CryptoKey | undefined> {
  const key = await importJWK(publicMembers(jwk), algorithm).catch(() => undefined)
  if (key === undefined || key instanceof Uint8Array) return undefined
  return isWeakRsa(key.algorithm) || (await hasSmallOrder(key)) ? undefined : key
}

function isWeakRsa(algorithm: object): boolean {
  if (!('modulusLength' in algorithm && 'publicExponent' in algorithm)) return false
  const bits = Number(algorithm.modulusLength)
  const { publicExponent: exponent } = algorithm
  const digits = exponent instanceof Uint8Array ? hexOf(exponent).replace(/^0+/, '') : ''
  // With an exponent of 1 anybody can sign: the signature equals the padded message.
  const isOne = digits === '1'
  const isLong = digits.length > maxExponentBits / 4
  return bits < minRsaBits || bits > maxRsaBits || isOne || isLong
}

/** Under such a key anybody can sign: a fixed signature fits every eighth message, or every message. */
async function hasSmallOrder(key: CryptoKey): Promise<boolean> {
  if (key.algorithm.name !== 'Ed25519') return false
  const point = new Uint8Array(await crypto.subtle.exportKey('raw', key))
  // Without the sign of x, the highest bit of the last byte.
  return smallOrderPoints.has(hexOf(point.map((byte, index) => (index === 31 ? byte & 0x7f : byte))))
}

const hexOf = (bytes: Uint8Array) => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
