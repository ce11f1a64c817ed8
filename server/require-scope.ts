import type { User } from '../shared/user.js'
import { refuse, requireUser, type UserGuard } from './require-user.js'
import { TokenError } from './token-error.js'

/** RFC 6749 section 3.3: nothing that would end the header that names it. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/**
 * The guard of {@link requireUser}, for callers whose `user.scope` (the claim of RFC 8693 section 4.2, scopes with spaces between) has
 * all of these; who lacks one gets 403 `insufficient_scope` (RFC 6750 section 3.1).
 *
 * @throws TypeError when no scope is given, or something that is none
 * @example
 * const editProcedure = protectedProcedure.concat(requireScope('tasks:write'))
 */
export function requireScope<T extends { scope?: string | undefined } = User>(
  ...scopes: [string, ...string[]]
): UserGuard<T> {
  if (scopes.length === 0 || !scopes.every(scope => scopeToken.test(scope)))
    throw new TypeError('requireScope needs one or more scopes, without spaces and quotes.')
  return requireUser<T>().use(({ ctx, next }) => {
    const granted = new Set(ctx.user.scope?.split(' '))
    if (scopes.every(scope => granted.has(scope))) return next()
    throw refuse(new TokenError('insufficient_scope', { scope: scopes.join(' ') }))
  })
}
