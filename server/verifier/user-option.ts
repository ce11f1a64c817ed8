import type { ZodError, ZodType } from 'zod'
import { type User, userId } from '../../shared/user.js'
import { inTime, LateError } from './in-time.js'
import { thrownBy } from './thrown.js'
import type { Claims } from './token/claim-rules.js'
import { isObject } from './token/json.js'
import { TokenError } from './token-error.js'

/** Makes the user from verified claims: a zod schema, or a function, which may be async. */
export type UserOption = ZodType<User> | ((claims: Readonly<Claims>) => User | Promise<User>)

/** How long `isRevoked` and `user` are waited for, in milliseconds. */
export const hookPatience = 5_000

/**
 * The user of verified claims.
 *
 * @throws TokenError `claims`, which names the wrong claim and never quotes what the option says of it
 * @throws Error when the option makes no user within 5 seconds
 */
export async function userOf(claims: Claims, option: UserOption): Promise<User> {
  // What was thrown may be anything, a Proxy too: from here on it is an Error of ours.
  const asked = makeUser(claims, option).catch(error => {
    throw thrownBy('user', error)
  })
  const made = await inTime(hookPatience, asked).catch((cause: Error) => {
    if (cause instanceof LateError)
      throw new Error(`The user option has made no user within ${hookPatience / 1000} s.`, { cause })
    throw new TokenError('claims', { cause, hint: cause.message })
  })
  if ('wrongClaim' in made) throw new TokenError('claims', { claim: made.wrongClaim })
  return made.user
}

type Made = { user: User } | { wrongClaim: string | undefined }

async function makeUser(claims: Claims, option: UserOption): Promise<Made> {
  if (typeof option === 'function') return withId(await option(claims))
  const parsed = await option.safeParseAsync(claims)
  return parsed.success ? withId(parsed.data) : { wrongClaim: firstClaim(parsed.error) }
}

/** A user with a `then` is refused: each `await` on its way would call it, and what it gives nobody has checked. */
function withId(user: User): Made {
  if (isObject(user) && 'then' in user) return { wrongClaim: 'then' }
  const hasId = isObject(user) && userId.safeParse(user.id).success
  return hasId ? { user } : { wrongClaim: 'id' }
}

/** The claim that a schema found wrong first. */
function firstClaim({ issues }: ZodError): string | undefined {
  const name = issues[0]?.path[0]
  return name === undefined ? undefined : String(name)
}
