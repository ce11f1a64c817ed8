/**
 * When a JWT expires (`exp`, RFC 7519 section 4.1.4), in milliseconds since the epoch; Infinity where it cannot be told. The
 * client does not verify the token: the API does.
 */
export function expiryOf(token: string): number {
  try {
    const [, payload = ''] = token.split('.')
    const claims: unknown = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
    const exp = typeof claims === 'object' && claims !== null ? Reflect.get(claims, 'exp') : undefined
    return typeof exp === 'number' ? exp * 1000 : Number.POSITIVE_INFINITY
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
