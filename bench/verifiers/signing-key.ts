import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import type { JWK } from 'jose'

type Algorithm = 'EdDSA' | 'RS256' | 'PS256'
type Json = Record<string, unknown>

/** Encodes a part of a token: an object as JSON, text unchanged. */
const part = (value: Json | string) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

function signed(data: string, algorithm: Algorithm, key: KeyObject): string {
  const bytes = Buffer.from(data)
  if (algorithm === 'EdDSA') return sign(null, bytes, key).toString('base64url')
  const padding = algorithm === 'PS256' ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING
  return sign('sha256', bytes, { key, padding, saltLength: 32 }).toString('base64url')
}

/** A key that signs any bytes without a library, so that wrong tokens are possible. */
export function makeKey(kid: string, algorithm: Algorithm = 'EdDSA', modulusLength = 2048) {
  const { publicKey, privateKey } =
    algorithm === 'EdDSA' ? generateKeyPairSync('ed25519') : generateKeyPairSync('rsa', { modulusLength })
  const jwk: JWK = { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm }
  const privateJwk: JWK = { ...privateKey.export({ format: 'jwk' }), kid, alg: algorithm }
  return {
    jwk,
    privateJwk,
    sign(claims: Json | string, header: Json = {}, as: Algorithm = algorithm) {
      const data = `${part({ alg: as, kid, ...header })}.${part(claims)}`
      return `${data}.${signed(data, as, privateKey)}`
    },
  }
}

export type SigningKey = ReturnType<typeof makeKey>

/** An unsigned token. */
export const unsignedToken = (claims: Json, kid: string) => `${part({ alg: 'none', kid })}.${part(claims)}.`

/** A token signed with HMAC, with the public key as the secret. */
export function hmacToken(claims: Json, { kid, x = '' }: JWK): string {
  const data = `${part({ alg: 'HS256', kid })}.${part(claims)}`
  return `${data}.${createHmac('sha256', Buffer.from(x, 'base64url')).update(data).digest('base64url')}`
}
