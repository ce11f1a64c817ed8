import { TokenError } from './token-error.js'

/** RFC 6749 section 3.3. No character in it can end the header that quotes the scope. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** One or more scopes, such as `tasks:write`. */
export type Scopes = readonly [string, ...string[]]

/** @throws TypeError if no scope is given, or one is invalid */
export function assertScopes(scopes: readonly string[]): void {
  if (scopes.length === 0 || !scopes.every(scope => scopeToken.test(scope)))
    throw new TypeError('Name one or more scopes, without spaces and quotes: "tasks:write".')
}

/** The error if the user lacks one of the scopes. */
export function insufficientScope(
  user: { scope?: string | undefined },
  scopes: readonly string[],
): TokenError | undefined {
  const granted = new Set(user.scope?.split(' '))
  return scopes.every(scope => granted.has(scope))
    ? undefined
    : new TokenError('insufficient_scope', { scope: scopes.join(' ') })
}

/**
 * Checks that the `scope` of a user contains all of these scopes (RFC 8693 section 4.2). On tRPC use `requireScope`.
 *
 * @throws TokenError `insufficient_scope` (403) if one is missing
 * @throws TypeError if no scope is given, or one is invalid
 */
export function checkScope(user: { scope?: string | undefined }, ...scopes: Scopes): void {
  assertScopes(scopes)
  const error = insufficientScope(user, scopes)
  if (error !== undefined) throw error
}
