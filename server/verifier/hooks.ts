import type { ZodError, ZodType } from 'zod'
import { TimeoutError, withTimeout } from '../../shared/timeout.js'
import { type User, userId } from '../../shared/user.js'
import type { Claims } from './token/claims.js'
import { isObject } from './token/json.js'
import { TokenError } from './token-error.js'

/** Makes the user from verified claims: a zod schema or a function, which may be async. */
export type UserOption = ZodType<User> | ((claims: Readonly<Claims>) => User | Promise<User>)

/** Says whether a token was revoked, by its verified claims. */
export type IsRevoked = (claims: Readonly<Claims>) => boolean | Promise<boolean>

/** Milliseconds that `user` and `isRevoked` may take. */
const hookTimeout = 5_000

/**
 * Makes the user from verified claims.
 *
 * @throws TokenError `claims`, with the name of the wrong claim or the kind of the error
 * @throws Error if there is no user within 5 seconds
 */
export async function makeUser(claims: Claims, option: UserOption): Promise<User> {
  const result = await runHook('user', () => callUserOption(claims, option)).catch((cause: Error) => {
    if (cause instanceof TimeoutError)
      throw new Error(`The user option returned no user within ${hookTimeout / 1000} s.`, { cause })
    throw new TokenError('claims', { cause, hint: cause.message })
  })
  if ('wrongClaim' in result) throw new TokenError('claims', { claim: result.wrongClaim })
  return result.user
}

/**
 * Asks the application whether a token was revoked.
 *
 * @throws TokenError `revoked`; `revocation_unavailable` if the hook fails, unless `onRevocationError` is `accept`
 */
export async function checkRevoked(
  claims: Claims,
  isRevoked: IsRevoked,
  onRevocationError: 'refuse' | 'accept',
): Promise<void> {
  const revoked: unknown = await runHook('isRevoked', async () => isRevoked(claims)).catch(cause => {
    if (onRevocationError === 'accept') return false
    throw new TokenError('revocation_unavailable', { cause })
  })
  // A hook in JavaScript that forgets its `return` must not accept every token, whatever an outage may do.
  if (typeof revoked !== 'boolean') {
    const cause = new TypeError('isRevoked must return true or false.')
    throw new TokenError('revocation_unavailable', { cause })
  }
  if (revoked) throw new TokenError('revoked')
}

/** What a hook throws may quote a claim, and may be anything: it is replaced by an error that names only its kind. */
function runHook<T>(option: string, hook: () => Promise<T>): Promise<T> {
  const result = hook().catch(error => {
    throw new Error(`The ${option} option has thrown (${kindOf(error)}).`)
  })
  return withTimeout(result, hookTimeout)
}

function kindOf(error: unknown): string {
  try {
    const kind: unknown = error instanceof Error ? error.constructor.name : typeof error
    return typeof kind === 'string' ? kind : 'unknown'
  } catch {
    return 'unknown'
  }
}

type UserResult = { user: User } | { wrongClaim: string | undefined }

async function callUserOption(claims: Claims, option: UserOption): Promise<UserResult> {
  if (typeof option === 'function') return checkUser(await option(claims))
  const parsed = await option.safeParseAsync(claims)
  return parsed.success ? checkUser(parsed.data) : { wrongClaim: firstWrongClaim(parsed.error) }
}

/** A user with a `then` is refused: every `await` would call it, and replace the checked user with its result. */
function checkUser(user: User): UserResult {
  if (isObject(user) && 'then' in user) return { wrongClaim: 'then' }
  const hasId = isObject(user) && userId.safeParse(user.id).success
  return hasId ? { user } : { wrongClaim: 'id' }
}

function firstWrongClaim({ issues }: ZodError): string | undefined {
  const name = issues[0]?.path[0]
  return name === undefined ? undefined : String(name)
}
