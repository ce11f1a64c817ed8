import type { JSONWebKeySet, JWK } from 'jose'
import { causesOf } from '../../shared/error-handling.js'
import { discoverKeys } from './keys/discovery.js'
import { fetchKeys, KeyFetchError, patience } from './keys/key-fetch.js'
import { givenKeys, type KeySource } from './keys/key-source.js'
import { RemoteKeys } from './keys/remote-keys.js'
import { isSafeUrl, placeOf } from './keys/safe-url.js'
import { isPrivate, readSigningKeys, type SigningKey, someMayVerify } from './keys/signing-keys.js'
import { attempt } from './thrown.js'
import { type Algorithm, supportedAlgorithms } from './token/algorithms.js'
import { slashHint } from './token/claim-rules.js'
import type { CompactToken } from './token/compact-token.js'
import { TokenError } from './token-error.js'

/** An issuer whose tokens count. */
export interface IssuerOptions {
  /** The `iss` that a token must have, compared as it is. Better Auth's default is the origin of its `baseURL`. */
  issuer: string
  /** The `aud` that a token must have, alone or among others. Better Auth's default is the origin of its `baseURL`. */
  audience: string
  /** Where the issuer publishes its keys (RFC 7517). @default the issuer's origin + '/api/auth/jwks' */
  jwksUrl?: string | URL | undefined
  /**
   * Finds that out from the issuer's own metadata (OpenID Connect Discovery 1.0, RFC 8414), each time that keys are fetched: two
   * requests. @default false
   */
  discover?: boolean | undefined
  /**
   * Keys at hand, instead of a URL. That none of them can verify a token is a TypeError: at once, or of `verify`
   * and `ready` where only reading the keys shows it (broken ones, RSA keys that are weak).
   */
  keys?: JSONWebKeySet | JWK[] | undefined
  /** Algorithms that are accepted. @default all five */
  algorithms?: readonly Algorithm[] | undefined
}

/** How keys are fetched, for all issuers alike. */
export interface FetchOptions {
  /** Seconds that known keys are used while the issuer fails. @default 86_400, a day */
  maxStale?: number | undefined
  /** Lets keys come over plain http from other machines: whoever is between can then be anybody. @default false */
  allowHttp?: boolean | undefined
  /**
   * For a proxy, or where the runtime keeps answers: Next.js 14 does, pass one that sets `cache: 'no-store'` there. (Ours does not:
   * older Cloudflare Workers refuse any `cache`.) What it has from a redirect is refused. @default the runtime's own
   */
  fetch?: typeof globalThis.fetch | undefined
  /**
   * Is given a refresh in the background, where the runtime would end it with the request that began it: Cloudflare's `waitUntil`.
   * Without it there a request waits for the refresh, once in five minutes at most.
   */
  waitUntil?: ((refresh: Promise<void>) => void) | undefined
  /** Milliseconds since the epoch. @default Date.now */
  now?: (() => number) | undefined
  /**
   * Called once for each problem with the keys of an issuer, until it answers well again; tells no token. One that throws fails no
   * request: then the problem is a warning. @default console.warn
   */
  onProblem?: ((problem: string, error: unknown) => void) | undefined
}

/** An issuer with its keys: a token of one never passes for another's. */
export interface TrustedIssuer {
  issuer: string
  audience: string
  algorithms: ReadonlySet<Algorithm>
  keys: KeySource
}

/** @throws TypeError when an option is missing, or does not go with another */
export function trustedIssuer(options: IssuerOptions, fetchOptions: FetchOptions): TrustedIssuer {
  const { issuer, audience, algorithms = supportedAlgorithms } = options
  if (issuer === undefined || audience === undefined)
    throw new TypeError(
      'createVerifier needs an issuer and an audience: the iss and the one aud that tokens must have, as text.',
    )
  return { issuer, audience, algorithms: new Set(algorithms), keys: keySource(options, fetchOptions) }
}

/**
 * Whose token it says it is: of several issuers, the one that its claims name. That chooses the keys it is held against, and proves
 * nothing.
 *
 * @throws TokenError `issuer`
 */
export function issuerOf({ claims }: CompactToken, issuers: readonly TrustedIssuer[]): TrustedIssuer {
  const [only] = issuers
  const found = issuers.length === 1 ? only : issuers.find(({ issuer }) => issuer === claims.iss)
  if (found === undefined) throw new TokenError('issuer', { hint: slashHint(claims.iss, issuers) })
  return found
}

function keySource(
  { issuer, jwksUrl, discover = false, keys }: IssuerOptions,
  {
    maxStale = 86_400,
    allowHttp = false,
    fetch = (...request) => globalThis.fetch(...request),
    waitUntil = () => {},
    now = Date.now,
    onProblem = warn,
  }: FetchOptions,
): KeySource {
  if ([keys, jwksUrl, discover || undefined].filter(way => way !== undefined).length > 1)
    throw new TypeError('Give one of keys, jwksUrl and discover.')
  if (keys !== undefined) return givenKeys(publicKeys(keys))
  const checkUrl = (url: string | URL, namedBy?: URL) => checkedUrl(url, allowHttp, namedBy)
  const url = checkUrl(discover ? issuer : (jwksUrl ?? defaultJwksUrl(issuer)))
  const fetchAll = discover ? discoverKeys(url, issuer, checkUrl) : fetchKeys.bind(null, url)
  const isGuessed = !discover && jwksUrl === undefined
  return new RemoteKeys({
    fetch: () => fetchAll({ fetch, now, signal: AbortSignal.timeout(patience) }),
    maxStale: maxStale * 1000,
    now,
    waitUntil,
    onProblem(problem, error) {
      const isMissing = isGuessed && error instanceof KeyFetchError && error.problem === 'status_404'
      const advice = isMissing ? ' That is the default place: set discover or jwksUrl.' : ''
      const told = `The keys of ${issuer} cannot be refreshed. ${problem}${advice}`
      attempt(() => onProblem(told, error)).catch(() => warn(told, error))
    },
  })
}

/** With what the system says: ECONNREFUSED, ENOTFOUND. */
function warn(problem: string, error: unknown) {
  const [code] = causesOf(error).flatMap(cause => ('code' in cause ? [cause.code] : []))
  console.warn(code === undefined ? problem : `${problem} (${code})`)
}

const noUsableKey = `None of the keys can verify a token: give public keys for ${supportedAlgorithms.join(', ')}.`

function publicKeys(given: JSONWebKeySet | JWK[]): Promise<SigningKey[]> {
  const keys = Array.isArray(given) ? given : given.keys
  if (keys.some(key => 'k' in key || isPrivate(key)))
    throw new TypeError('The keys must be public keys: one of them is private.')
  if (!someMayVerify(keys)) throw new TypeError(noUsableKey)
  return readSigningKeys(structuredClone(keys)).then(read => {
    if (read.length === 0) throw new TypeError(noUsableKey)
    return read
  })
}

function defaultJwksUrl(issuer: string): URL {
  if (!URL.canParse(issuer)) throw new TypeError('The issuer is not a URL: createVerifier needs a jwksUrl.')
  return new URL('/api/auth/jwks', issuer)
}

function checkedUrl(value: string | URL, allowHttp: boolean, namedBy?: URL): URL {
  if (!URL.canParse(String(value))) throw new TypeError('The jwksUrl (or the issuer) is not a URL.')
  const url = new URL(value)
  if (url.username || url.password)
    throw new TypeError('The jwksUrl must hold no user and password: fetch refuses those.')
  const isHttp = url.protocol === 'http:'
  // Of another kind the URL may be the keys themselves (data:).
  const place = isHttp ? placeOf(url) : `a URL of ${url.protocol.slice(0, 20)}`
  if (!(isSafeUrl(url, namedBy) || (allowHttp && isHttp)))
    throw new TypeError(`The keys must come over https, not from ${place}. See allowHttp.`)
  return url
}
