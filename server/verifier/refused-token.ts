import { printable } from '../../shared/text.js'
import { parseToken } from './token/compact-token.js'
import { TokenError } from './token-error.js'
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
      ...(claim !== undefined && { claim: nameOf(claim) }),
      ...(hint !== undefined && { hint: printable(hint) }),
    },
  })
}

/** A name that a token brought, as a log may show it. */
const nameOf = (text: string) => printable(text.slice(0, 64))

function namesIn(token: string, issuers: readonly TrustedIssuer[]) {
  try {
    const parsed = parseToken(token)
    const { issuer } = issuerOf(parsed, issuers)
    return { kid: parsed.kid === undefined ? null : nameOf(parsed.kid), issuer: printable(issuer) }
  } catch {
    return { kid: null, issuer: null }
  }
}
