import type { User } from '../../shared/user.js'
import { assertScopes, insufficientScope, type Scopes } from '../verifier/check-scope.js'
import { refuse, requireUser, type UserGuard } from './require-user.js'

/**
 * The guard of {@link requireUser}, for callers whose `user.scope` (the claim of RFC 8693 section 4.2, scopes with spaces between) has
 * all of these; who lacks one gets 403 `insufficient_scope` (RFC 6750 section 3.1).
 *
 * @throws TypeError when no scope is given, or something that is none
 * @example
 * const editProcedure = protectedProcedure.concat(requireScope('tasks:write'))
 */
export function requireScope<T extends { scope?: string | undefined } = User>(
  ...scopes: Scopes
): UserGuard<T> {
  assertScopes(scopes)
  return requireUser<T>().use(({ ctx, next }) => {
    const error = insufficientScope(ctx.user, scopes)
    if (error !== undefined) throw refuse(error)
    return next()
  })
}
