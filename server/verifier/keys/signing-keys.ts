import { type CryptoKey, calculateJwkThumbprint, importJWK, type JWK } from 'jose'
import type { Algorithm } from '../token/algorithms.js'
import { isObject } from '../token/json.js'

/** A public key that tokens may be signed with. */
export interface SigningKey {
  /** The same for the same key under the same name, whenever it is read. */
  id: string
  kid: string | undefined
  /** By the algorithms that it may be used with. */
  forms: ReadonlyMap<Algorithm, CryptoKey>
}

/** Somebody publishes what only the issuer may have: whoever reads it can sign tokens. */
export class PrivateKeyError extends TypeError {
  override name = 'PrivateKeyError'
}

/** By `kty`. In a kind that we do not know the same names may mean anything. */
const privateMembers = new Map<unknown, readonly string[]>([
  ['RSA', ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth']],
  ['EC', ['d']],
  ['OKP', ['d']],
])
const minRsaBits = 2_048
const maxRsaBits = 16_384

/** True for a key that has what nobody but its owner may have (RFC 7518 section 6, RFC 8037 section 2). */
export const isPrivate = (jwk: { kty?: unknown }) =>
  privateMembers.get(jwk.kty)?.some(name => name in jwk) ?? false

/**
 * Reads the keys of a set (RFC 7517) that can verify a signature. Keys of other kinds, uses and algorithms are skipped, as section
 * 5 says, and so are RSA keys under 2048 bits (RFC 7518 section 3.3).
 *
 * @throws PrivateKeyError when a member of a private key is among them
 */
export async function readSigningKeys(jwks: readonly unknown[]): Promise<SigningKey[]> {
  const keys = await Promise.all(jwks.filter(isObject).map(readSigningKey))
  return keys.filter(key => key !== undefined)
}

async function readSigningKey(jwk: Record<string, unknown>): Promise<SigningKey | undefined> {
  if (isPrivate(jwk))
    throw new PrivateKeyError(
      'One of the keys is a private key: replace it, whoever can read it signs tokens.',
    )
  const { kid, alg } = jwk
  if (kid !== undefined && typeof kid !== 'string') return undefined
  const forms = new Map<Algorithm, CryptoKey>()
  for (const algorithm of algorithmsOf(jwk)) {
    const key = await importPublicKey(jwk, algorithm)
    if (key !== undefined) forms.set(algorithm, key)
  }
  if (forms.size === 0) return undefined
  const id = JSON.stringify([kid, alg, await calculateJwkThumbprint(publicPart(jwk))])
  return { id, kid, forms }
}

/** Whether one of the keys may verify a signature, by what it says of itself: reading it shows if it can. */
export const someMayVerify = (jwks: readonly unknown[]) =>
  jwks.filter(isObject).some(jwk => algorithmsOf(jwk).length > 0)

function algorithmsOf(jwk: Record<string, unknown>): Algorithm[] {
  const { use, key_ops: uses, alg } = jwk
  if (use !== undefined && use !== 'sig') return []
  if (uses !== undefined && !(Array.isArray(uses) && uses.includes('verify'))) return []
  const fitting = algorithmsOfType(jwk)
  return alg === undefined ? fitting : fitting.filter(algorithm => algorithm === alg)
}

function algorithmsOfType({ kty, crv }: Record<string, unknown>): Algorithm[] {
  if (kty === 'RSA') return ['RS256', 'PS256']
  if (kty === 'EC' && crv === 'P-256') return ['ES256']
  if (kty === 'EC' && crv === 'P-521') return ['ES512']
  return kty === 'OKP' && crv === 'Ed25519' ? ['EdDSA'] : []
}

/** Only what makes the key, which is text: `ext`, `key_ops` and certificates beside it are not ours to obey. */
function publicPart({ kty, crv, x, y, n, e }: Record<string, unknown>): JWK {
  const members = Object.entries({ kty, crv, x, y, n, e })
  return Object.fromEntries(members.filter(([, value]) => typeof value === 'string'))
}

/** Undefined for a key that is broken or too weak. */
async function importPublicKey(
  jwk: Record<string, unknown>,
  algorithm: Algorithm,
): Promise<CryptoKey | undefined> {
  const key = await importJWK(publicPart(jwk), algorithm).catch(() => undefined)
  if (key === undefined || key instanceof Uint8Array) return undefined
  return isWeakRsa(key.algorithm) ? undefined : key
}

function isWeakRsa(algorithm: object): boolean {
  if (!('modulusLength' in algorithm && 'publicExponent' in algorithm)) return false
  const bits = Number(algorithm.modulusLength)
  const { publicExponent: exponent } = algorithm
  // With an exponent of 1 the signature is the message.
  const isOne =
    exponent instanceof Uint8Array && exponent.every((byte, i) => byte === +(i === exponent.length - 1))
  return bits < minRsaBits || bits > maxRsaBits || isOne
}
