import { userFromClaims } from '../../shared/user.js'
import { assertOptions, cacheRules, commonRules, issuerRules } from './option-rules.js'
import type { Claims } from './token/claim-rules.js'
import { type FetchOptions, type IssuerOptions, trustedIssuer } from './trusted-issuer.js'
import type { UserOption } from './user-option.js'
import { type CacheOptions, createVerdictCache } from './verdict-cache.js'

/** Options of {@link createVerifier}: of one issuer, or of a closed list, each with its own keys, audience and algorithms. */
export type VerifierOptions = (IssuerOptions | { issuers: readonly IssuerOptions[] }) & CommonOptions

/** What holds for all issuers alike. */
export interface CommonOptions extends FetchOptions {
  /** Seconds by which the clocks of issuer and API may differ. @default 5 */
  clockTolerance?: number | undefined
  /** Longest time, in seconds, since a token was issued (`iat`, which it then must have). @default none beyond its `exp` */
  maxTokenAge?: number | undefined
  /** The `typ`s that a token may have (RFC 8725 section 3.11), such as `at+jwt`. One with `JWT` may have none. @default ['JWT'] */
  types?: readonly string[] | undefined
  /**
   * Makes the user from the verified claims: a zod schema, or a function `claims => user`, which may be async. Required with several
   * `issuers`, because `sub` is unique within one issuer only: put the issuer into `id`, as in
   * `user: ({ iss, sub }) => ({ id: JSON.stringify([iss, sub]) })`, which is never the same for two pairs. An `id` has 1 to 255
   * characters: a longer one refuses the token.
   *
   * A user of plain objects and lists is copied, frozen, and remembered as long as the token is (see `cache`). A user with anything
   * else in it (a Date, a Map, an object of a class) cannot be frozen, and is made anew for each request. If the option throws, the
   * token is refused as `claims`, and its error is never logged or answered. If it makes no user within 5 seconds, `verify` rejects
   * with an Error, which is no refusal.
   *
   * `requireScope` looks at `scope`, a text with spaces between. An issuer that has a list, or calls it `scp`, needs a `user` of yours:
   * `scope: scp.join(' ')`.
   * @default with one issuer, id from `sub`; `email`, `name` and `scope` where they are strings
   */
  user?: UserOption | undefined
  /**
   * Asked on each request, cached or not, with the verified claims: true refuses the token as `revoked`. While it cannot say, by an
   * error or for 5 seconds, the caller gets `revocation_unavailable` (503). Log its errors yourself: we do not, their text may hold
   * claims.
   */
  isRevoked?: ((claims: Readonly<Claims>) => boolean | Promise<boolean>) | undefined
  /** What an error of `isRevoked` does to the token. @default 'refuse' */
  onRevocationError?: 'refuse' | 'accept' | undefined
  /** How tokens that were verified are remembered; false verifies each time. */
  cache?: CacheOptions | false | undefined
}

/**
 * The options with their defaults, and what is made of them once.
 *
 * @throws TypeError when one is missing or not understood
 */
export function checkedOptions(given: VerifierOptions) {
  const options = given ?? {}
  assertOptions(options, { ...issuerRules, ...commonRules })
  const {
    clockTolerance = 5,
    maxTokenAge,
    types = ['JWT'],
    user = userFromClaims,
    isRevoked,
    onRevocationError = 'refuse',
    cache = {},
  } = options
  if (cache !== false) assertOptions(cache, cacheRules)
  const now = checkedClock(options.now ?? Date.now)
  const issuers = issuersOf(options).map(one => trustedIssuer(one, { ...options, now }))
  if (issuers.length === 0 || new Set(issuers.map(({ issuer }) => issuer)).size < issuers.length)
    throw new TypeError('The issuers must be one or more, and each another.')
  if (issuers.length > 1 && options.user === undefined) throw new TypeError(userIsMissing)
  return {
    issuers,
    clockTolerance,
    maxTokenAge,
    types: new Set(types.map(mediaType)),
    user,
    isRevoked,
    onRevocationError,
    cache: cache === false ? null : createVerdictCache(cache, now),
    now,
  }
}

const userIsMissing =
  'Several issuers need the user option: the same "sub" from two issuers would be one user. ' +
  'Make id carry the issuer: user: ({ iss, sub }) => ({ id: JSON.stringify([iss, sub]) }).'

/** Beside what is no number every time holds, and no token would expire: it is an error, now and later. */
function checkedClock(now: () => number): () => number {
  const checkedNow = () => {
    const time = now()
    if (Number.isFinite(time)) return time
    throw new TypeError('The now option must give milliseconds since the epoch, as a finite number.')
  }
  checkedNow()
  return checkedNow
}

function issuersOf(options: VerifierOptions): readonly IssuerOptions[] {
  if (!('issuers' in options)) return [options]
  const beside = Object.keys(issuerRules).find(name => Reflect.get(options, name) !== undefined)
  if (beside !== undefined)
    throw new TypeError(`Give the ${beside} within issuers, to each its own, not beside them.`)
  const { issuers = [] } = options
  for (const one of issuers) assertOptions(one, issuerRules)
  return issuers
}

/** A media type without `application/`, as RFC 7515 section 4.1.9 recommends it. */
export const mediaType = (type: unknown) =>
  typeof type === 'string' ? type.toLowerCase().replace(/^application\/(?=[^/]*$)/, '') : ''
