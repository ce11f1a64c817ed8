import { base64url } from 'jose'
import { TokenError } from '../token-error.js'
import { parseJsonObject } from './json.js'

/** Longest accepted token, in characters: Node accepts no longer headers. */
export const maxTokenLength = 16_384

/** A decoded JWT in compact form. Nothing in it is verified. */
export interface CompactToken {
  header: Record<string, unknown>
  claims: Record<string, unknown>
  alg: unknown
  kid: string | undefined
}

/**
 * Decodes a token (RFC 7515 section 3.1): three parts of base64url, with header and claims as JSON objects. Only the canonical
 * base64url form is accepted, because another last character can stand for the same bytes.
 *
 * @throws TokenError `malformed`
 */
export function parseToken(token: string): CompactToken {
  if (typeof token !== 'string') throw new TokenError('malformed')
  if (token.length > maxTokenLength)
    throw new TokenError('malformed', {
      hint: `It has ${token.length} characters, and ${maxTokenLength} at most are accepted: put less into it.`,
    })
  const parts = token.split('.', 4)
  const [header, claims, signature] = parts
  if (parts.length !== 3 || !header || !claims || signature === undefined) throw new TokenError('malformed')
  try {
    decode(signature)
    return checkHeader(parseJsonObject(decode(header)), parseJsonObject(decode(claims)))
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
  // We support no extension that a token can require (RFC 7515 section 4.1.11, RFC 7797).
  if (crit !== undefined || b64 !== undefined) throw new SyntaxError('The token requires an extension.')
  if (kid !== undefined && typeof kid !== 'string') throw new SyntaxError('The kid is not a string.')
  return { header, claims, alg, kid }
}

/** A `typ` in lower case and without `application/`, which is optional (RFC 7515 section 4.1.9). */
export const mediaType = (typ: unknown) =>
  typeof typ === 'string' ? typ.toLowerCase().replace(/^application\/(?=[^/]*$)/, '') : ''
