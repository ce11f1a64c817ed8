import { base64url } from 'jose'
import { TokenError } from '../token-error.js'
import { parseObject } from './json.js'

/** Longest token that is looked at, in characters: what fits into the headers that servers take. */
export const maxTokenLength = 8_192

/** A JWT in compact form, taken apart. Nothing of it is proven. */
export interface CompactToken {
  header: Record<string, unknown>
  claims: Record<string, unknown>
  alg: unknown
  kid: string | undefined
}

/**
 * Takes a token apart (RFC 7515 section 3.1): three parts of base64url in its one canonical form (another last character may stand
 * for the same bytes), a header and claims that are JSON objects.
 *
 * @throws TokenError `malformed`
 */
export function parseToken(token: string): CompactToken {
  if (typeof token !== 'string' || token.length > maxTokenLength) throw new TokenError('malformed')
  const parts = token.split('.', 4)
  const [header, claims, signature] = parts
  if (parts.length !== 3 || !header || !claims || signature === undefined) throw new TokenError('malformed')
  try {
    decode(signature)
    return checkHeader(parseObject(decode(header)), parseObject(decode(claims)))
  } catch (cause) {
    throw new TokenError('malformed', { cause })
  }
}

function decode(part: string): Uint8Array {
  const bytes = base64url.decode(part)
  if (base64url.encode(bytes) !== part) throw new SyntaxError('Not base64url.')
  return bytes
}

function checkHeader(header: CompactToken['header'], claims: CompactToken['claims']): CompactToken {
  const { alg, kid, crit, b64 } = header
  // We know no extension that a token could require (RFC 7515 section 4.1.11, RFC 7797).
  if (crit !== undefined || b64 !== undefined) throw new SyntaxError('An extension is required.')
  if (kid !== undefined && typeof kid !== 'string') throw new SyntaxError('The kid is not a string.')
  return { header, claims, alg, kid }
}
