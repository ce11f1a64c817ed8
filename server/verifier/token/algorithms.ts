/** Signature algorithms that tokens may use: the asymmetric ones of RFC 7518, RFC 8037 and RFC 9864 that WebCrypto verifies. */
export const supportedAlgorithms = [
  'EdDSA',
  'Ed25519',
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
] as const

export type Algorithm = (typeof supportedAlgorithms)[number]

export function isAlgorithm(value: unknown): value is Algorithm {
  return supportedAlgorithms.some(algorithm => algorithm === value)
}

const ofCurve = new Map<unknown, Algorithm>([
  ['P-256', 'ES256'],
  ['P-384', 'ES384'],
  ['P-521', 'ES512'],
])
const ofRsa = supportedAlgorithms.filter(name => /^[PR]S/.test(name))
/** Two names of one algorithm (RFC 9864 section 2.2). */
const ofEd25519: readonly Algorithm[] = ['EdDSA', 'Ed25519']

/** The algorithms that a JWK of this type, and with this `alg` if it has one, can be used with. */
export function algorithmsOf({
  kty,
  crv,
  alg,
}: {
  kty?: unknown
  crv?: unknown
  alg?: unknown
}): Algorithm[] {
  const isNamed = (algorithm: Algorithm) => alg === undefined || algorithm === alg
  if (kty === 'RSA') return ofRsa.filter(isNamed)
  if (kty === 'EC') return [ofCurve.get(crv) ?? []].flat().filter(isNamed)
  return kty === 'OKP' && crv === 'Ed25519' && ofEd25519.some(isNamed) ? [...ofEd25519] : []
}
