import type { JSONWebKeySet, JWK } from 'jose'
import { callHook, causesOf } from '../../shared/error-handling.js'
import { printable } from '../../shared/text.js'
import { discoverKeys } from './keys/discovery.js'
import { fetchKeys, fetchTimeout, KeyFetchError } from './keys/key-fetch.js'
import { fixedKeys, type KeySource } from './keys/key-source.js'
import { RemoteKeys } from './keys/remote-keys.js'
import { checkedKeyUrl, urlForLog } from './keys/safe-url.js'
import { canAnyVerify, isPrivate, readSigningKeys, type SigningKey } from './keys/signing-keys.js'
import { type Algorithm, supportedAlgorithms } from './token/algorithms.js'
import { issuerHint, type Parties } from './token/claims.js'
import type { CompactToken } from './token/compact-token.js'
import { TokenError } from './token-error.js'

/** An issuer whose tokens are accepted. */
export interface IssuerOptions {
  /**
   * The `iss` of the tokens, compared exactly. With Better Auth by default the origin of its `baseURL`. For an issuer with an `iss` for
   * each tenant: a function that returns true for those to accept, together with `jwksUrl` or `keys`, and with `user`.
   */
  issuer: string | ((iss: string) => boolean)
  /**
   * The `aud` of the tokens, or a list of which a token has at least one. With Better Auth by default the origin of its `baseURL`. `null` if
   * the issuer writes no `aud`: then `authorizedParties` is required, and a token with an `aud` is refused.
   */
  audience: string | readonly string[] | null
  /** The clients that may have got the token: its `azp` (OpenID Connect Core 1.0 section 2) or else `client_id` (RFC 8693). @default any */
  authorizedParties?: readonly string[] | undefined
  /** URL of the issuer's key set (RFC 7517). @default the issuer's origin + '/api/auth/jwks' */
  jwksUrl?: string | URL | undefined
  /**
   * Finds the key set through the issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414). Each fetch of the keys then takes two
   * requests. @default false
   */
  discover?: boolean | undefined
  /**
   * Public keys instead of a URL. If none of them can verify a token, `createVerifier` throws a TypeError; if only importing the keys
   * shows it (broken keys, weak RSA keys), `verify` and `ready` reject with it.
   */
  keys?: JSONWebKeySet | JWK[] | undefined
  /** Accepted algorithms. @default all asymmetric ones */
  algorithms?: readonly Algorithm[] | undefined
}

/** How keys are fetched, for all issuers. */
export interface FetchOptions {
  /** Seconds that known keys are used while the issuer fails. @default 86_400, a day */
  maxStale?: number | undefined
  /** Allows keys over plain http from other machines. Anybody on the network can then forge tokens. @default false */
  allowHttp?: boolean | undefined
  /**
   * Replaces `fetch`, for a proxy or a runtime that caches answers: on Next.js 14 pass one that sets `cache: 'no-store'`. It must not
   * follow redirects. @default globalThis.fetch
   */
  fetch?: typeof globalThis.fetch | undefined
  /**
   * Receives the promise of a background refresh. Pass Cloudflare's `waitUntil`: without it, Workers stop the refresh with its request,
   * and one request every five minutes waits for the keys.
   */
  waitUntil?: ((refresh: Promise<void>) => void) | undefined
  /** The clock, in milliseconds since the epoch. @default Date.now */
  now?: (() => number) | undefined
  /**
   * Called once for each problem with the keys of an issuer, until it answers well again. The text contains no token. If this throws,
   * the problem is logged with console.warn. @default console.warn
   */
  onProblem?: ((problem: string, error: unknown) => void) | undefined
}

/** An issuer and its keys. A token of one issuer is never verified with the keys of another. */
export interface TrustedIssuer extends Parties {
  algorithms: ReadonlySet<Algorithm>
  keys: KeySource
}

/** @throws TypeError if the options contradict each other, or a URL or a key is not safe */
export function trustedIssuer(options: IssuerOptions, fetchOptions: FetchOptions): TrustedIssuer {
  const { issuer, audience, authorizedParties, algorithms = supportedAlgorithms } = options
  if (audience === null && authorizedParties === undefined)
    throw new TypeError(
      'createVerifier: audience: null needs authorizedParties, or tokens for other APIs would be accepted.',
    )
  if (typeof issuer === 'function' && options.jwksUrl === undefined && options.keys === undefined)
    throw new TypeError('createVerifier: an issuer function needs jwksUrl or keys.')
  return {
    issuer: typeof issuer === 'string' ? issuer : `the one of ${nameOfKeys(options)}`,
    isIssuer: typeof issuer === 'string' ? iss => iss === issuer : iss => isAccepted(issuer, iss),
    audiences: audience === null ? null : [audience].flat(),
    authorizedParties,
    algorithms: new Set(algorithms),
    keys: keySource(options, fetchOptions),
  }
}

/** Without the query of the URL, which may be a secret. */
const nameOfKeys = ({ jwksUrl }: IssuerOptions) =>
  jwksUrl !== undefined && URL.canParse(String(jwksUrl)) ? urlForLog(new URL(jwksUrl)) : 'the keys'

/** An error of the function, such as of `new URL(iss)`, refuses the token. */
function isAccepted(isIssuer: (iss: string) => boolean, iss: unknown): boolean {
  try {
    return typeof iss === 'string' && isIssuer(iss) === true
  } catch {
    return false
  }
}

/**
 * Chooses the issuer whose keys a token is verified with: with several issuers, by its `iss`, which proves nothing yet.
 *
 * @throws TokenError `issuer`
 */
export function issuerOf({ claims }: CompactToken, issuers: readonly TrustedIssuer[]): TrustedIssuer {
  const [only] = issuers
  const found = issuers.length === 1 ? only : issuers.find(({ isIssuer }) => isIssuer(claims.iss))
  if (found === undefined)
    throw new TokenError('issuer', { hint: issuerHint(claims.iss, issuers, { isVerified: false }) })
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
  if ([keys, jwksUrl, discover || undefined].filter(option => option !== undefined).length > 1)
    throw new TypeError('createVerifier: set only one of keys, jwksUrl and discover.')
  if (keys !== undefined) return fixedKeys(readPublicKeys(keys))
  const checkUrl = (url: string | URL, namedBy?: URL) => checkedKeyUrl(url, allowHttp, namedBy)
  const name = typeof issuer === 'string' ? issuer : ''
  const url = checkUrl(discover ? name : (jwksUrl ?? defaultJwksUrl(name)))
  const fetchAll = discover ? discoverKeys(url, name, checkUrl) : fetchKeys.bind(null, url)
  const isDefaultUrl = !discover && jwksUrl === undefined
  return new RemoteKeys({
    fetch: () => fetchAll({ fetch, now, signal: AbortSignal.timeout(fetchTimeout) }),
    maxStale: maxStale * 1000,
    now,
    waitUntil,
    onProblem(problem, error) {
      const isMissing = isDefaultUrl && error instanceof KeyFetchError && error.problem === 'status_404'
      const advice = isMissing ? ' This is the default URL: set jwksUrl or discover.' : ''
      const text = `The keys of ${name || urlForLog(url)} cannot be refreshed. ${problem}${advice}`
      callHook(
        () => onProblem(text, error),
        () => warn(text, error),
      )
    },
  })
}

/** Adds the system's code, such as ECONNREFUSED or ENOTFOUND. */
function warn(problem: string, error: unknown) {
  const [code] = causesOf(error).flatMap(cause => ('code' in cause ? [cause.code] : []))
  console.warn(code === undefined ? problem : `${problem} (${printable(String(code).slice(0, 64))})`)
}

const noUsableKey = `None of the keys can verify a token. Pass public keys for ${supportedAlgorithms.join(', ')}.`

function readPublicKeys(given: JSONWebKeySet | JWK[]): Promise<SigningKey[]> {
  const jwks = Array.isArray(given) ? given : given.keys
  if (jwks.some(jwk => 'k' in jwk || isPrivate(jwk)))
    throw new TypeError('The keys must be public keys: one of them is private.')
  if (!canAnyVerify(jwks)) throw new TypeError(noUsableKey)
  return readSigningKeys(structuredClone(jwks)).then(keys => {
    if (keys.length === 0) throw new TypeError(noUsableKey)
    return keys
  })
}

function defaultJwksUrl(issuer: string): URL {
  if (!URL.canParse(issuer))
    throw new TypeError('createVerifier: the issuer is not a URL, so jwksUrl is required.')
  return new URL('/api/auth/jwks', issuer)
}
