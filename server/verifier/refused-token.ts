import { TokenError } from '../token-error.js'
import { parseToken } from './compact-token.js'
import { issuerOf, type TrustedIssuer } from './trusted-issuer.js'

/** The refusal, with what a log may say of its token: enough to find the caller and the key, and not the token. */
export async function describeRefused(
  { reason, retryAfter, cause, claim, hint }: TokenError,
  token: string,
  issuers: readonly TrustedIssuer[],
): Promise<TokenError> {
  const digest = await crypto.subtle.digest(
    'SHA-256',
    new TextEncoder().encode(typeof token === 'string' ? token : ''),
  )
  const hash = Array.from(new Uint8Array(digest).subarray(0, 8), byte =>
    byte.toString(16).padStart(2, '0'),
  ).join('')
  return new TokenError(reason, {
    ...(retryAfter !== undefined && { retryAfter }),
    ...(cause !== undefined && { cause }),
    token: {
      hash,
      ...namesIn(token, issuers),
      ...(claim !== undefined && { claim }),
      ...(hint !== undefined && { hint }),
    },
  })
}

function namesIn(token: string, issuers: readonly TrustedIssuer[]) {
  try {
    const parsed = parseToken(token)
    return { kid: parsed.kid?.slice(0, 64) ?? null, issuer: issuerOf(parsed, issuers).issuer }
  } catch {
    return { kid: null, issuer: null }
  }
}
