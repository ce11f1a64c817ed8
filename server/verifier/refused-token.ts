import { printable } from '../../shared/text.js'
import { parseToken } from './token/compact-token.js'
import { TokenError } from './token-error.js'
import { issuerOf, type TrustedIssuer } from './trusted-issuer.js'

/** Adds what a log may show about the token: enough to find the caller and the key, never the token itself. */
export async function withLogDetails(
  { reason, retryAfter, cause, claim, hint }: TokenError,
  token: string,
  issuers: readonly TrustedIssuer[],
): Promise<TokenError> {
  return new TokenError(reason, {
    ...(retryAfter !== undefined && { retryAfter }),
    ...(cause !== undefined && { cause }),
    token: {
      hash: await shortHash(typeof token === 'string' ? token : ''),
      ...kidAndIssuer(token, issuers),
      ...(claim !== undefined && { claim: shorten(claim) }),
      ...(hint !== undefined && { hint: printable(hint) }),
    },
  })
}

async function shortHash(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  const bytes = new Uint8Array(digest).subarray(0, 8)
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}

/** The kid is unverified, so it is cut and escaped. The issuer is the configured one. */
function kidAndIssuer(token: string, issuers: readonly TrustedIssuer[]) {
  try {
    const parsed = parseToken(token)
    const { issuer } = issuerOf(parsed, issuers)
    return { kid: parsed.kid === undefined ? null : shorten(parsed.kid), issuer: printable(issuer) }
  } catch {
    return { kid: null, issuer: null }
  }
}

const shorten = (text: string) => printable(text.slice(0, 64))
