/** Signature algorithms that tokens may use (RFC 7518, RFC 8037): what Better Auth can sign with. */
export const supportedAlgorithms = ['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256'] as const

export type Algorithm = (typeof supportedAlgorithms)[number]

export function isAlgorithm(value: unknown): value is Algorithm {
  return supportedAlgorithms.some(algorithm => algorithm === value)
}
