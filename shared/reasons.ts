/**
 * Why a call was refused, with the message of each reason. The first eleven are 401 (RFC 6750 section 3.1),
 * `insufficient_scope` is 403. The last three are outages and so 503: a client that gets a 401 signs its user out.
 */
export const reasons = {
  missing: 'The call has no token: sign in, or send an "Authorization: Bearer <token>" header.',
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
  revocation_unavailable: 'It cannot be checked at the moment whether the token was revoked. Try again.',
  database_unavailable: 'The database cannot be used at the moment. Try again.',
} as const

/** Machine-readable reason of a refusal: `error.data.reason` on the client. */
export type Reason = keyof typeof reasons

/** True for the reasons that are outages (503), not the caller's fault (401). */
export function isOutage(reason: Reason): boolean {
  return reason.endsWith('_unavailable')
}
