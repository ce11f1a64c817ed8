import { userId } from '../../../shared/user.js'
import { TokenError } from '../token-error.js'

/** Claims of a token whose signature holds (RFC 7519 section 4). */
export interface Claims {
  iss: string
  sub: string
  exp: number
  [name: string]: unknown
}

/** What the claims of a token must be like. Times are seconds. */
export interface ClaimRules {
  issuer: string
  audience: string
  clockTolerance: number
  maxTokenAge: number | undefined
}

/**
 * Judges claims (RFC 7519 section 4.1, RFC 8725 sections 3.8 and 3.9, RFC 9068 section 4).
 *
 * @param now seconds since the epoch
 * @throws TokenError with the reason
 */
export function judgeClaims(
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

/** Tells a mistyped setting, which refuses everybody, from somebody else's token. */
export function slashHint(iss: unknown, known: readonly { issuer: string }[]): string | undefined {
  const near = known.find(({ issuer }) => isSlashApart(iss, issuer))
  return near && `Its iss is ${near.issuer} but for the slash behind: set the issuer as the tokens have it.`
}

/** Whether one is the other with a slash behind. What is no text is neither: an object may throw where it is made one. */
export const isSlashApart = (one: unknown, other: string) =>
  typeof one === 'string' && (one === `${other}/` || other === `${one}/`)

function isFor(aud: unknown, audience: string): boolean {
  if (!Array.isArray(aud)) return aud === audience
  return aud.every(one => typeof one === 'string') && aud.includes(audience)
}

function timeOf(claims: Record<string, unknown>, name: string): number | undefined {
  const time = claims[name]
  if (time === undefined) return undefined
  // 1e999 is valid JSON, and no time.
  if (typeof time !== 'number' || !Number.isFinite(time)) throw new TokenError('claims', { claim: name })
  return time
}
