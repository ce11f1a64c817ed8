import { userId } from '../../../shared/user.js'
import { TokenError } from '../token-error.js'

/** Claims of a token with a valid signature (RFC 7519 section 4). */
export interface Claims {
  iss: string
  sub: string
  exp: number
  [name: string]: unknown
}

/** Whose tokens are accepted, and for whom. */
export interface Parties {
  /** For messages: the issuer, or the URL of its keys if there are many. */
  issuer: string
  isIssuer: (iss: unknown) => boolean
  /** Any of them. Null: the issuer writes no `aud`. */
  audiences: readonly string[] | null
  /** Any of them as `azp` or `client_id`. Undefined: not checked. */
  authorizedParties: readonly string[] | undefined
}

/** Rules for the claims of a token. Times are seconds. */
export interface ClaimRules extends Parties {
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
  const { iss, sub } = claims
  if (!rules.isIssuer(iss))
    throw new TokenError('issuer', { hint: issuerHint(iss, [rules], { isVerified: true }) })
  checkAudience(claims, rules)
  checkTimes(claims, rules, now)
  if (!userId.safeParse(sub).success) throw new TokenError('claims', { claim: 'sub' })
}

/**
 * The part of {@link checkClaims} that changes with time.
 *
 * @param now seconds since the epoch
 * @throws TokenError `expired`, `not_yet_valid`, or `claims` for a time that is missing or no number
 */
export function checkTimes(
  claims: Record<string, unknown>,
  { clockTolerance, maxTokenAge }: Pick<ClaimRules, 'clockTolerance' | 'maxTokenAge'>,
  now: number,
): void {
  const exp = timeOf(claims, 'exp')
  const nbf = timeOf(claims, 'nbf')
  const iat = timeOf(claims, 'iat')
  if (exp === undefined) throw new TokenError('claims', { claim: 'exp' })
  if (exp <= now - clockTolerance) throw new TokenError('expired')
  if (nbf !== undefined && nbf > now + clockTolerance) throw new TokenError('not_yet_valid')
  if (iat !== undefined && iat > now + clockTolerance) throw new TokenError('not_yet_valid')
  if (maxTokenAge !== undefined) {
    if (iat === undefined) throw new TokenError('claims', { claim: 'iat' })
    if (iat + maxTokenAge <= now - clockTolerance) throw new TokenError('expired')
  }
}

/**
 * For the log: how the token differs from what is configured. A trailing slash is a common mistake, and refuses every token.
 *
 * @param isVerified whether the signature is; an unverified claim is not quoted
 */
export function issuerHint(
  iss: unknown,
  issuers: readonly Parties[],
  { isVerified }: { isVerified: boolean },
): string {
  const match = issuers.find(({ issuer }) => differsOnlyBySlash(iss, issuer))
  if (match !== undefined)
    return `Its iss differs from ${match.issuer} only by a trailing slash. Set issuer to exactly the iss of the tokens.`
  const found = isVerified ? shown(iss) : 'another one'
  return `Its iss is ${found}. The issuer option is ${issuers.map(({ issuer }) => issuer).join(' or ')}.`
}

/** For a hint. Only strings and lists of them are quoted, because a forged token may hold anything. */
export function shown(value: unknown): string {
  const list = Array.isArray(value) ? value : [value]
  if (value === undefined) return 'missing'
  if (!list.every(one => typeof one === 'string')) return `not a string (${typeof value})`
  return JSON.stringify(value).slice(0, 200)
}

export const differsOnlyBySlash = (one: unknown, other: string) =>
  typeof one === 'string' && (one === `${other}/` || other === `${one}/`)

function checkAudience(claims: Record<string, unknown>, { audiences, authorizedParties }: Parties): void {
  const { aud, azp, client_id: clientId } = claims
  const refuse = (hint: string) => {
    throw new TokenError('audience', { hint })
  }
  if (audiences === null) {
    if (aud !== undefined) refuse(`It has the aud ${shown(aud)}. Set audience to that of this API.`)
  } else if (aud === undefined) {
    refuse('It has no aud. If your issuer writes none, set audience: null and authorizedParties.')
  } else if (!isFor(aud, audiences)) {
    refuse(`Its aud is ${shown(aud)}. The audience option is ${audiences.join(' or ')}.`)
  }
  if (authorizedParties === undefined) return
  const party = azp ?? clientId
  if (typeof party !== 'string' || !authorizedParties.includes(party))
    refuse(`Its azp or client_id is ${shown(party)}. authorizedParties is ${authorizedParties.join(', ')}.`)
}

function isFor(aud: unknown, audiences: readonly string[]): boolean {
  const list: unknown[] = [aud].flat()
  return list.every(one => typeof one === 'string') && list.some(one => audiences.includes(one))
}

function timeOf(claims: Record<string, unknown>, name: string): number | undefined {
  const time = claims[name]
  if (time === undefined) return undefined
  // 1e999 is valid JSON and becomes Infinity.
  if (typeof time !== 'number' || !Number.isFinite(time)) throw new TokenError('claims', { claim: name })
  return time
}
