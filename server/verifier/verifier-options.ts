import type { ZodType } from 'zod'
import { type User, userFromClaims } from '../../shared/user.js'
import type { Claims } from './claim-rules.js'
import { type FetchOptions, type IssuerOptions, trustedIssuer } from './trusted-issuer.js'
import { type CacheOptions, createVerdictCache } from './verdict-cache.js'

/** Options of {@link createVerifier}: of one issuer, or of a closed list, each with its own keys, audience and algorithms. */
export type VerifierOptions = (IssuerOptions | { issuers: readonly IssuerOptions[] }) & CommonOptions

interface CommonOptions extends FetchOptions {
  /** Seconds by which the clocks of issuer and API may differ. @default 5 */
  clockTolerance?: number | undefined
  /** Longest time, in seconds, since a token was issued (`iat`, which it then must have). @default none beyond its `exp` */
  maxTokenAge?: number | undefined
  /** The `typ`s that a token may have (RFC 8725 section 3.11), such as `at+jwt`. One with `JWT` may have none. @default ['JWT'] */
  types?: readonly string[] | undefined
  /**
   * Makes the user from the verified claims. What it makes of plain objects and lists is copied, frozen, and remembered as long as
   * the token is (see `cache`). A user with anything else in it (a Date, a Map, an object of a class) cannot be kept from changes:
   * that one is made anew for each request. What it throws refuses the token as `claims`, and its text is told to nobody.
   *
   * `requireScope` looks at `scope`, a text with spaces between. An issuer that has a list, or calls it `scp`, needs a schema of yours:
   * `scope: scp.join(' ')`.
   * @default id from `sub`; `email`, `name` and `scope` where they are strings
   */
  user?: ZodType<User> | undefined
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
export function checkedOptions(options: VerifierOptions) {
  const {
    clockTolerance = 5,
    maxTokenAge,
    types = ['JWT'],
    user = userFromClaims,
    isRevoked,
    onRevocationError = 'refuse',
    cache = {},
    now = Date.now,
  } = options ?? {}
  assertKnown(options ?? {}, [...ofOneIssuer, ...ofAll])
  if (!(Number.isFinite(clockTolerance) && clockTolerance >= 0))
    throw new TypeError('The clock tolerance must be seconds, 0 or more.')
  if (maxTokenAge !== undefined && !(maxTokenAge > 0))
    throw new TypeError('The maxTokenAge must be seconds, above 0.')
  const issuers = issuersOf(options).map(one => trustedIssuer(one, options))
  if (issuers.length === 0 || new Set(issuers.map(({ issuer }) => issuer)).size < issuers.length)
    throw new TypeError('The issuers must be one or more, and each another.')
  if (typeof user?.safeParseAsync !== 'function')
    throw new TypeError('The user must be a zod schema that makes a user of the claims.')
  if (isRevoked !== undefined && typeof isRevoked !== 'function')
    throw new TypeError('The isRevoked must be a function of the claims.')
  if (!['refuse', 'accept'].includes(onRevocationError))
    throw new TypeError('The onRevocationError must be refuse or accept.')
  if (types.length === 0 || types.includes(''))
    throw new TypeError('The types must be one or more, such as JWT and at+jwt.')
  if (cache !== false) {
    if (typeof cache !== 'object' || cache === null)
      throw new TypeError('The cache must be false, or its bounds: { maxEntries, maxAge }.')
    assertKnown(cache, ofCache)
  }
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

/** What is said of an issuer: beside `issuers` it would be of none of them. */
const ofOneIssuer = namesOf<IssuerOptions>({
  issuer: true,
  audience: true,
  jwksUrl: true,
  discover: true,
  keys: true,
  algorithms: true,
})

const ofAll = namesOf<CommonOptions & { issuers: unknown }>({
  issuers: true,
  clockTolerance: true,
  maxTokenAge: true,
  types: true,
  user: true,
  isRevoked: true,
  onRevocationError: true,
  cache: true,
  maxStale: true,
  allowHttp: true,
  fetch: true,
  waitUntil: true,
  now: true,
  onProblem: true,
})

const ofCache = namesOf<CacheOptions>({ maxEntries: true, maxAge: true })

/** Names as a record, so that none is forgotten: the compiler compares it with the options. */
function namesOf<Options>(names: Record<keyof Options, true>): string[] {
  return Object.keys(names)
}

/** A misspelled option would do nothing, and an API that was meant to be strict would not be. */
function assertKnown(options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find(name => !known.includes(name))
  if (unknown !== undefined)
    throw new TypeError(`There is no option ${unknown}: known are ${known.join(', ')}.`)
}

function issuersOf(options: VerifierOptions): readonly IssuerOptions[] {
  if (!(options && 'issuers' in options)) return [options]
  const beside = ofOneIssuer.find(name => Reflect.get(options, name) !== undefined)
  if (beside !== undefined)
    throw new TypeError(`Give the ${beside} within issuers, to each its own, not beside them.`)
  if (!Array.isArray(options.issuers))
    throw new TypeError('The issuers must be a list, each with an issuer and an audience.')
  for (const one of options.issuers) assertKnown(one ?? {}, ofOneIssuer)
  return options.issuers
}

/** A media type without `application/`, as RFC 7515 section 4.1.9 recommends it. */
export const mediaType = (type: unknown) =>
  typeof type === 'string' ? type.toLowerCase().replace(/^application\/(?=[^/]*$)/, '') : ''
