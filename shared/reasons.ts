/**
 * Why a call was refused, with the text that goes with it. The first eleven are the caller's to fix (401, RFC 6750
 * section 3.1), `insufficient_scope` is 403, the last three are ours (503): a client that gets a 401 signs its person out, so an
 * outage is never one.
 */
export const reasons = {
  missing: 'Send an "Authorization: Bearer <token>" header.',
  malformed: 'The Authorization header must be "Bearer <token>", once, with one JWT in compact form.',
  expired: 'The token has expired.',
  not_yet_valid: 'The token is not valid yet.',
  signature: 'The signature of the token does not match.',
  issuer: 'The token is from another issuer.',
  audience: 'The token is for another audience.',
  algorithm: 'The token is signed with an algorithm that is not allowed.',
  unknown_key: 'The token is signed with a key that the issuer does not have.',
  claims: 'A claim of the token is missing or has a wrong value.',
  revoked: 'The token has been revoked.',
  insufficient_scope: 'This needs a scope or role that the caller does not have.',
  keys_unavailable: 'The keys of the issuer cannot be fetched at the moment. Try again.',
  revocation_unavailable: 'Whether the token was revoked cannot be found out at the moment. Try again.',
  database_unavailable: 'The database cannot be used at the moment. Try again.',
} as const

/** Machine-readable reason of a refusal: what `error.data.reason` holds on the client. */
export type Reason = keyof typeof reasons

/** True for the reasons that are the service's own (503), not the caller's (401). */
export function isOutage(reason: Reason): boolean {
  return reason.endsWith('_unavailable')
}
