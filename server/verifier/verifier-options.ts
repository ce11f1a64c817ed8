import type { JSONWebKeySet, JWK } from 'jose'
import { z } from 'zod'
import { userFromClaims } from '../../shared/user.js'
import type { IsRevoked, UserOption } from './hooks.js'
import { supportedAlgorithms } from './token/algorithms.js'
import { mediaType } from './token/compact-token.js'
import { isObject } from './token/json.js'
import { type CacheOptions, createTokenCache } from './token-cache.js'
import { type FetchOptions, type IssuerOptions, trustedIssuer } from './trusted-issuer.js'

/** Options of {@link createVerifier}: for one issuer, or for a list of issuers with their own keys, audiences and algorithms. */
export type VerifierOptions = (IssuerOptions | { issuers: readonly IssuerOptions[] }) & CommonOptions

/** Options that apply to all issuers. */
export interface CommonOptions extends FetchOptions {
  /** Seconds by which the clocks of issuer and API may differ. @default 5 */
  clockTolerance?: number | undefined
  /** Greatest age of a token in seconds, by its `iat`, which is then required. @default only its `exp` limits it */
  maxTokenAge?: number | undefined
  /** Accepted `typ` values (RFC 8725 section 3.11), such as `at+jwt`. With `JWT` in the list a token may have none. @default ['JWT'] */
  types?: readonly string[] | undefined
  /**
   * Makes the user from the verified claims: a zod schema or a function `claims => user`, which may be async. Required with several
   * `issuers` or an `issuer` function, because a `sub` is unique only within one issuer: `user: ({ iss, sub }) => ({ id: JSON.stringify([iss, sub]) })`.
   * An `id` has 1 to 255 characters; otherwise the token is refused.
   *
   * A user of plain objects and arrays is copied, frozen and cached with the token. Any other user (with a Date, a Map, a class
   * instance) is made again for each request. If the option throws, the token is refused as `claims`, and the error is never logged.
   * If it returns no user within 5 seconds, `verify` rejects with an Error.
   *
   * `requireScope` reads `scope`, a string with spaces between the scopes. If your issuer uses a list named `scp`, set
   * `scope: scp.join(' ')`.
   * @default with one issuer: `id` from `sub`, and `email`, `name` and `scope` if they are strings
   */
  user?: UserOption | undefined
  /**
   * Called for each request with the verified claims. If it returns true, the token is refused as `revoked`. If it throws, or takes
   * more than 5 seconds, the answer is `revocation_unavailable` (503). Log its errors yourself: they may contain claims, so the verifier
   * does not.
   */
  isRevoked?: IsRevoked | undefined
  /** Whether an error of `isRevoked` refuses or accepts the token. @default 'refuse' */
  onRevocationError?: 'refuse' | 'accept' | undefined
  /** Limits of the cache of verified tokens, or false to verify every time. */
  cache?: CacheOptions | false | undefined
}

const nonEmptyString = (mustBe: string) => z.string(mustBe).min(1, mustBe)
const flag = z.boolean('true or false')
const hook = <Hook>() => z.custom<Hook>(value => typeof value === 'function', 'a function')
const seconds = z.number('a number of seconds, 0 or more').min(0, 'a number of seconds, 0 or more')
const secondsAboveZero = z.custom<number>(
  value => typeof value === 'number' && value > 0,
  'a number of seconds, above 0',
)
const listOf = <Item extends z.ZodType>(item: Item, mustBe: string) => z.array(item, mustBe).min(1, mustBe)

const isFilled = (value: unknown) => typeof value === 'string' && value !== ''
const isJwkList = (value: unknown) => Array.isArray(value) && value.every(isObject)
const algorithm = z.enum(supportedAlgorithms, `one of ${supportedAlgorithms.join(', ')}`)
// A typ that ends with a slash would become '', which stands for every typ that is not a string.
const typ = z.string('a string such as JWT').regex(/[^/]$/, 'a string such as JWT')

const issuerShape = {
  issuer: z.custom<string | ((iss: string) => boolean)>(
    value => (typeof value === 'string' && value !== '') || typeof value === 'function',
    'a string (the iss of the tokens) or a function',
  ),
  audience: z.custom<string | readonly string[] | null>(
    value =>
      value === null ||
      isFilled(value) ||
      (Array.isArray(value) && value.length > 0 && value.every(isFilled)),
    'a string (the aud of the tokens), a list of strings, or null',
  ),
  authorizedParties: listOf(nonEmptyString('a string'), 'a list of strings').optional(),
  jwksUrl: z
    .custom<string | URL>(value => (typeof value === 'string' && value !== '') || isObject(value), 'a URL')
    .optional(),
  discover: flag.optional(),
  keys: z
    .custom<JSONWebKeySet | JWK[]>(
      value => isJwkList(isObject(value) ? value.keys : value),
      'a list of JWKs or a key set (RFC 7517)',
    )
    .optional(),
  algorithms: listOf(algorithm, 'a list of algorithms').optional(),
} satisfies Record<keyof IssuerOptions, z.ZodType>

const commonShape = {
  clockTolerance: seconds.optional(),
  maxTokenAge: secondsAboveZero.optional(),
  types: listOf(typ, 'a list of strings such as JWT').optional(),
  user: z
    .custom<UserOption>(
      value => typeof value === 'function' || (isObject(value) && typeof value.safeParseAsync === 'function'),
      'a zod schema, or a function that makes the user from the claims',
    )
    .optional(),
  isRevoked: hook<IsRevoked>().optional(),
  onRevocationError: z.enum(['refuse', 'accept'], '"refuse" or "accept"').optional(),
  cache: z
    .custom<CacheOptions | false>(value => value === false || isObject(value), 'false or an object')
    .optional(),
  maxStale: seconds.optional(),
  allowHttp: flag.optional(),
  fetch: hook<typeof globalThis.fetch>().optional(),
  waitUntil: hook<(refresh: Promise<void>) => void>().optional(),
  now: hook<() => number>().optional(),
  onProblem: hook<(problem: string, error: unknown) => void>().optional(),
} satisfies Record<keyof CommonOptions, z.ZodType>

const cacheShape = {
  maxEntries: z.int('a whole number, above 0').min(1, 'a whole number, above 0').optional(),
  maxAge: secondsAboveZero.optional(),
} satisfies Record<keyof CacheOptions, z.ZodType>

/** Strict, because a misspelled option would be ignored. The message of an unknown one is the list of the known ones. */
function strict<Shape extends z.ZodRawShape>(shape: Shape) {
  const known = Object.keys(shape).join(', ')
  return z.strictObject(shape, { error: ({ code }) => (code === 'unrecognized_keys' ? known : 'an object') })
}

const issuerSchema = strict(issuerShape)
const cacheSchema = strict(cacheShape)
const optionsSchema = strict({
  ...z.object(issuerShape).partial().shape,
  issuers: listOf(issuerSchema, 'a list of one or more issuers').optional(),
  ...commonShape,
})

/**
 * Checks the options and fills in the defaults.
 *
 * @throws TypeError that names every wrong option
 */
export function parseOptions(given: VerifierOptions) {
  const options = parse(optionsSchema, given ?? {})
  const {
    clockTolerance = 5,
    maxTokenAge,
    types = ['JWT'],
    user = userFromClaims,
    isRevoked,
    onRevocationError = 'refuse',
    cache = {},
  } = options
  const now = checkedClock(options.now ?? Date.now)
  const listed = issuersOf(options)
  const issuers = listed.map(issuer => trustedIssuer(issuer, { ...options, now }))
  const names = listed.map(({ issuer }) => issuer)
  if (new Set(names).size < names.length)
    throw new TypeError('createVerifier: two entries of issuers have the same issuer.')
  const hasOneIssuer = names.length === 1 && typeof names[0] === 'string'
  if (!hasOneIssuer && options.user === undefined) throw new TypeError(userIsRequired)
  return {
    issuers,
    clockTolerance,
    maxTokenAge,
    types: new Set(types.map(mediaType)),
    user,
    isRevoked,
    onRevocationError,
    cache: cache === false ? null : createTokenCache(parse(cacheSchema, cache, 'cache'), now),
    now,
  }
}

const userIsRequired =
  'createVerifier: several issuers, or an issuer function, need the user option, because the same "sub" of two issuers would be one user. ' +
  'Put the issuer into the id: user: ({ iss, sub }) => ({ id: JSON.stringify([iss, sub]) }).'

function issuersOf(options: z.output<typeof optionsSchema>): IssuerOptions[] {
  const { issuers, issuer, audience, authorizedParties, jwksUrl, discover, keys, algorithms } = options
  const own = { issuer, audience, authorizedParties, jwksUrl, discover, keys, algorithms }
  if (issuers === undefined) return [parse(issuerSchema, own)]
  const misplaced = Object.entries(own).find(([, value]) => value !== undefined)
  if (misplaced !== undefined)
    throw new TypeError(`createVerifier: set ${misplaced[0]} in each entry of issuers, not beside issuers.`)
  return issuers
}

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown, at?: string): z.output<Schema> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const nameOf = (path: PropertyKey[]) => z.core.toDotPath(at === undefined ? path : [at, ...path])
  const problems = parsed.error.issues.map(issue => {
    const { path, message } = issue
    if (issue.code !== 'unrecognized_keys') return `${nameOf(path) || 'the argument'} must be ${message}`
    const unknown = issue.keys.map(key => nameOf([...path, key]))
    return `unknown option ${unknown.join(', ')} (known options: ${message})`
  })
  throw new TypeError(`createVerifier: ${problems.join('; ')}.`)
}

/** With NaN for the time no token would expire, so the clock is checked at each use. */
function checkedClock(now: () => number): () => number {
  const checkedNow = () => {
    const time = now()
    if (Number.isFinite(time)) return time
    throw new TypeError('The now option must return milliseconds since the epoch, as a finite number.')
  }
  checkedNow()
  return checkedNow
}
