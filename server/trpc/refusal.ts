import { type Reason, reasons } from '../../shared/reasons.js'
import type { RefusedToken, TokenError } from '../verifier/token-error.js'

/** Why a request has no user. Safe to log. */
export interface Refusal extends Partial<RefusedToken> {
  reason: Reason
}

/** The refusal of a request, without the token; null if no token was sent. */
export function reportedRefusal(error: TokenError | null | undefined): Refusal | null {
  return error && error.reason !== 'missing' ? { reason: error.reason, ...error.token } : null
}

/** These happen to every caller some day. */
const usual = new Set<Reason>(['missing', 'expired', 'revoked'])

/** Returns a function that warns of each reason once, because a wrong option refuses every token. */
export function warnOnce(): (refusal: Refusal) => void {
  const warned = new Set<Reason>(usual)
  return ({ reason, issuer, claim, hint }) => {
    if (warned.has(reason)) return
    warned.add(reason)
    const details = [
      reasons[reason],
      issuer && `The configured issuer is ${issuer}.`,
      claim && `The claim is ${claim}.`,
      hint,
    ]
    console.warn(
      `A token was refused as "${reason}". ${details.filter(Boolean).join(' ')} This is logged once per reason; docs/errors.md says what to do.`,
    )
  }
}
