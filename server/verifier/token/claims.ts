import { userId } from '../../../shared/user.js'
import { TokenError } from '../token-error.js'

/** Claims of a token with a valid signature (RFC 7519 section 4). */
export interface Claims {
  iss: string
  sub: string
  exp: number
  [name: string]: unknown
}

/** Rules for the claims of a token. Times are seconds. */
export interface ClaimRules {
  issuer: string
  audience: string
  clockTolerance: number
  maxTokenAge: number | undefined
}

/**
 * Checks issuer, audience, times and subject (RFC 7519 section 4.1, RFC 8725 sections 3.8 and 3.9, RFC 9068 section 4).
 *
 * @param now seconds since the epoch
 * @throws TokenError with the reason
 */
export function checkClaims(
  claims: Record<string, unknown>,
  rules: ClaimRules,
  now: number,
): asserts claims is Claims {
  const { iss, aud, sub } = claims
  if (iss !== rules.issuer) throw new TokenError('issuer', { hint: slashHint(iss, [rules]) })
  if (!isFor(aud, rules.audience)) throw new TokenError('audience')
  const exp = timeOf(claims, 'exp')
  const nbf = timeOf(claims, 'nbf')
  const iat = timeOf(claims, 'iat')
  if (exp === undefined) throw new TokenError('claims', { claim: 'exp' })
  const { clockTolerance, maxTokenAge } = rules
  if (exp <= now - clockTolerance) throw new TokenError('expired')
  if (nbf !== undefined && nbf > now + clockTolerance) throw new TokenError('not_yet_valid')
  if (iat !== undefined && iat > now + clockTolerance) throw new TokenError('not_yet_valid')
  if (maxTokenAge !== undefined) {
    if (iat === undefined) throw new TokenError('claims', { claim: 'iat' })
    if (iat + maxTokenAge <= now - clockTolerance) throw new TokenError('expired')
  }
  if (!userId.safeParse(sub).success) throw new TokenError('claims', { claim: 'sub' })
}

/** For the log: a trailing slash in the `issuer` option is a common mistake, and refuses every token. */
export function slashHint(iss: unknown, issuers: readonly { issuer: string }[]): string | undefined {
  const match = issuers.find(({ issuer }) => differsOnlyBySlash(iss, issuer))
  return (
    match &&
    `Its iss differs from ${match.issuer} only by a trailing slash. Set issuer to exactly the iss of the tokens.`
  )
}

export const differsOnlyBySlash = (one: unknown, other: string) =>
  typeof one === 'string' && (one === `${other}/` || other === `${one}/`)

function isFor(aud: unknown, audience: string): boolean {
  if (!Array.isArray(aud)) return aud === audience
  return aud.every(one => typeof one === 'string') && aud.includes(audience)
}

function timeOf(claims: Record<string, unknown>, name: string): number | undefined {
  const time = claims[name]
  if (time === undefined) return undefined
  // 1e999 is valid JSON and becomes Infinity.
  if (typeof time !== 'number' || !Number.isFinite(time)) throw new TokenError('claims', { claim: name })
  return time
}
