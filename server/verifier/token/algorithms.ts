/** Signature algorithms that tokens may use (RFC 7518, RFC 8037): those that Better Auth can sign with. */
export const supportedAlgorithms = ['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256'] as const

export type Algorithm = (typeof supportedAlgorithms)[number]

export function isAlgorithm(value: unknown): value is Algorithm {
  return supportedAlgorithms.some(algorithm => algorithm === value)
}

/** The algorithms that a JWK of this type can be used with. */
export function algorithmsOfType({ kty, crv }: { kty?: unknown; crv?: unknown }): Algorithm[] {
  if (kty === 'RSA') return ['RS256', 'PS256']
  if (kty === 'EC' && crv === 'P-256') return ['ES256']
  if (kty === 'EC' && crv === 'P-521') return ['ES512']
  return kty === 'OKP' && crv === 'Ed25519' ? ['EdDSA'] : []
}
