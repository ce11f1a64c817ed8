import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'

export const issuer = 'https://auth.example.com'
/** A second issuer, with another audience and fewer algorithms. */
export const other = 'https://login.example.org'
export const otherAudience = 'https://api.example.org'
/** The time at the start of every case, in seconds since the epoch. */
export const noon = Date.parse('2026-11-21T12:00:00Z') / 1000

export const algorithms = ['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256'] as const
type Algorithm = (typeof algorithms)[number]

const signing: Record<Algorithm, string | { name: string; hash?: string; saltLength?: number }> = {
  EdDSA: 'Ed25519',
  ES256: { name: 'ECDSA', hash: 'SHA-256' },
  ES512: { name: 'ECDSA', hash: 'SHA-512' },
  PS256: { name: 'RSA-PSS', saltLength: 32 },
  RS256: 'RSASSA-PKCS1-v1_5',
}

/** A key that signs any bytes. jose would refuse most of these tokens. */
export interface Signer {
  alg: Algorithm
  kid: string
  jwk: JWK
  privateJwk: JWK
  publicKey: CryptoKey
  signature(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array>
}

async function signer(alg: Algorithm, kid: string): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), alg, kid }
  const privateJwk = await exportJWK(privateKey)
  return { alg, kid, jwk, privateJwk, publicKey, signature: signatureBy(alg, privateKey) }
}

function signatureBy(alg: Algorithm, key: CryptoKey): Signer['signature'] {
  return async bytes => new Uint8Array(await crypto.subtle.sign(signing[alg], key, bytes))
}

/** The same key, used with another algorithm than its owner's. */
export async function usedAs(alg: Algorithm, key: Signer): Promise<Signer> {
  const imported = await importJWK(key.privateJwk, alg)
  if (imported instanceof Uint8Array) throw new TypeError('The key is a secret.')
  return { ...key, alg, signature: signatureBy(alg, imported) }
}

const [ed, ed2, p256, p521, ps, rs, theirEd, theirP256, attacker] = await Promise.all([
  signer('EdDSA', 'ed'),
  signer('EdDSA', 'ed2'),
  signer('ES256', 'p256'),
  signer('ES512', 'p521'),
  signer('PS256', 'ps'),
  signer('RS256', 'rs'),
  signer('EdDSA', 'ed'),
  signer('ES256', 'theirs'),
  signer('EdDSA', 'ed'),
])

/** Keys of the issuer, of the other issuer (one with the same kid), and of an attacker. */
export const keys = { ed, ed2, p256, p521, ps, rs, theirEd, theirP256, attacker }

/** The published key sets, by URL. */
export const published: Record<string, JWK[]> = {
  [`${issuer}/api/auth/jwks`]: [ed, ed2, p256, p521, ps, rs].map(({ jwk }) => jwk),
  [`${other}/api/auth/jwks`]: [theirEd, theirP256].map(({ jwk }) => jwk),
}

type Json = Record<string, unknown>

const utf8 = (value: string | Uint8Array | Json): Uint8Array => {
  if (value instanceof Uint8Array) return value
  return new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
}

export const base64url = (value: string | Uint8Array | Json) => Buffer.from(utf8(value)).toString('base64url')

/** Signs a header and claims exactly as given. */
export async function sealed(
  header: string | Uint8Array | Json,
  claims: string | Uint8Array | Json,
  key: Signer = ed,
): Promise<string> {
  const input = `${base64url(header)}.${base64url(claims)}`
  return `${input}.${base64url(await key.signature(new TextEncoder().encode(input)))}`
}

/** A text that occurs in every token and nowhere else. */
export const secret = 'hunter2'

/** Valid claims at noon. */
export const claims = (changed: Json = {}): Json => ({
  iss: issuer,
  aud: issuer,
  sub: 'alice',
  iat: noon,
  exp: noon + 900,
  email: `${secret}@example.com`,
  ...changed,
})

/** A valid token with changes. `undefined` removes a member. */
export const token = (changed: Json = {}, header: Json = {}, key: Signer = ed) =>
  sealed({ alg: key.alg, kid: key.kid, ...header }, claims(changed), key)

/** Valid claims for the other issuer. */
export const theirs = { iss: other, aud: otherAudience }

/** The token that is cached before each case. */
export const good = await token()
export const goodOfOther = await token(theirs, {}, theirEd)

/** A token with some of its parts replaced. */
export function withParts(text: string, parts: { header?: string; claims?: string; signature?: string }) {
  const [header = '', payload = '', signature = ''] = text.split('.')
  const whole = { header, claims: payload, signature, ...parts }
  return `${whole.header}.${whole.claims}.${whole.signature}`
}

/** The signature of a token, changed byte by byte. */
export function withSignature(text: string, change: (bytes: Buffer) => Uint8Array) {
  const bytes = Buffer.from(text.split('.')[2] ?? '', 'base64url')
  return withParts(text, { signature: base64url(change(bytes)) })
}
