import { TokenError } from './token-error.js'

/** RFC 6749 section 3.3: nothing that would end the header that names it. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** Scopes, one or more: `tasks:write`. */
export type Scopes = readonly [string, ...string[]]

/** @throws TypeError when no scope is given, or something that is none */
export function assertScopes(scopes: readonly string[]): void {
  if (scopes.length === 0 || !scopes.every(scope => scopeToken.test(scope)))
    throw new TypeError('Name one or more scopes, without spaces and quotes: "tasks:write".')
}

/** What a caller is refused with who lacks one of the scopes. */
export function lackOf(
  user: { scope?: string | undefined },
  scopes: readonly string[],
): TokenError | undefined {
  const granted = new Set(user.scope?.split(' '))
  return scopes.every(scope => granted.has(scope))
    ? undefined
    : new TokenError('insufficient_scope', { scope: scopes.join(' ') })
}

/**
 * Lets a caller pass whose `scope` (the claim of RFC 8693 section 4.2, scopes with spaces between) has all of these.
 * On tRPC `requireScope` does it.
 *
 * @throws TokenError `insufficient_scope` (403) where one is missing
 * @throws TypeError when no scope is given, or something that is none
 */
export function checkScope(user: { scope?: string | undefined }, ...scopes: Scopes): void {
  assertScopes(scopes)
  const lack = lackOf(user, scopes)
  if (lack !== undefined) throw lack
}
