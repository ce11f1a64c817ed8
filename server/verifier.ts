import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  type JWK,
  type JWKSCacheInput,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwksCache,
  jwtVerify,
} from 'jose'
import type { ZodType } from 'zod'
import { type User, userFromClaims, userId } from '../shared/user.js'
import { TokenError } from './token-error.js'

const supported = ['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256'] as const

/** A signature algorithm that tokens may use (RFC 7518, RFC 8037): what Better Auth can sign with. */
export type Algorithm = (typeof supported)[number]

/** Options of {@link createVerifier}. */
export interface VerifierOptions {
  /** The `iss` that a token must have, compared as it is. Better Auth's default is the origin of its `baseURL`. */
  issuer: string
  /** The `aud` that a token must have, alone or among others. Better Auth's default is the origin of its `baseURL`. */
  audience: string
  /** Where the issuer publishes its keys (RFC 7517). @default the issuer's origin + '/api/auth/jwks' */
  jwksUrl?: string | URL | undefined
  /** Keys at hand, instead of a URL. */
  keys?: JSONWebKeySet | JWK[] | undefined
  /** Algorithms that are accepted. @default all five */
  algorithms?: readonly Algorithm[] | undefined
  /** Seconds by which the clocks of issuer and API may differ. @default 5 */
  clockTolerance?: number | undefined
  /** Makes the user from the verified claims. @default id from `sub`, `email` and `name` where they are strings */
  user?: ZodType<User> | undefined
}

/** What is known of the issuer's keys. */
export interface KeySetStatus {
  /** Number of keys at hand. */
  keys: number
  /** Seconds since they were fetched, or null where they never were (or were given). */
  age: number | null
}

/** Decides who a token speaks for. */
export interface Verifier {
  /**
   * The user of a token.
   *
   * @throws TokenError with the reason, when the token is refused or the keys cannot be had
   */
  verify(token: string): Promise<User>
  /**
   * Fetches the keys where there are none at hand.
   *
   * @throws TokenError `keys_unavailable`
   */
  ready(): Promise<void>
  status(): KeySetStatus
}

const maxTokenLength = 8_192

/**
 * Makes a verifier of an issuer's JWTs, by its public keys alone: signature, algorithm, issuer, audience and times as
 * RFC 7519 and RFC 8725 have them. `exp` and `sub` are required, a `typ` other than JWT is refused.
 *
 * @throws TypeError when an option is missing or not understood
 * @example
 * const verifier = createVerifier({ issuer: 'https://auth.example.com', audience: 'https://auth.example.com' })
 * const user = await verifier.verify(token)
 */
export function createVerifier({
  issuer,
  audience,
  jwksUrl,
  keys,
  algorithms = supported,
  clockTolerance = 5,
  user: userSchema = userFromClaims,
}: VerifierOptions): Verifier {
  if (!issuer || !audience) throw new TypeError('createVerifier needs an issuer and an audience.')
  const unsupported = algorithms.find(algorithm => !supported.includes(algorithm))
  if (unsupported !== undefined || algorithms.length === 0) {
    throw new TypeError(`The algorithms must be some of ${supported.join(', ')}.`)
  }
  if (!(Number.isFinite(clockTolerance) && clockTolerance >= 0))
    throw new TypeError('The clock tolerance must be seconds, 0 or more.')
  const keySet = keys === undefined ? remoteKeys(jwksUrl ?? defaultJwksUrl(issuer)) : givenKeys(keys)

  async function verify(token: string): Promise<User> {
    if (token.length > maxTokenLength) throw new TokenError('malformed')
    const { payload, protectedHeader } = await jwtVerify(token, keySet.find, {
      issuer,
      audience,
      algorithms: [...algorithms],
      clockTolerance,
      requiredClaims: ['exp', 'sub'],
    }).catch(error => {
      throw refusalFor(error)
    })
    // The same keys sign access tokens, logout tokens and cookies, each with a `typ` of its own (RFC 8725 section 3.11).
    if (protectedHeader.typ !== undefined && !isJwtType(protectedHeader.typ)) {
      throw new TokenError('claims')
    }
    if (payload.iat !== undefined && payload.iat > Date.now() / 1000 + clockTolerance) {
      throw new TokenError('not_yet_valid')
    }
    return userOf(payload, userSchema)
  }

  return { verify, ready: keySet.ready, status: keySet.status }
}

// Any JSON value may stand there.
const isJwtType = (typ: unknown) => typeof typ === 'string' && typ.toUpperCase() === 'JWT'

async function userOf(claims: JWTPayload, schema: ZodType<User>): Promise<User> {
  const user = await schema.safeParseAsync(claims)
  if (!user.success) throw new TokenError('claims', { cause: user.error })
  const id = userId.safeParse(user.data.id)
  if (!id.success) throw new TokenError('claims', { cause: id.error })
  return Object.freeze(user.data)
}

function refusalFor(error: unknown): TokenError {
  if (error instanceof TokenError) return error
  const options = { cause: error }
  if (error instanceof errors.JWTExpired) return new TokenError('expired', options)
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'iss') return new TokenError('issuer', options)
    if (error.claim === 'aud') return new TokenError('audience', options)
    if (error.claim === 'nbf' && error.reason === 'check_failed')
      return new TokenError('not_yet_valid', options)
    return new TokenError('claims', options)
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return new TokenError('algorithm', options)
  if (error instanceof errors.JWSSignatureVerificationFailed) return new TokenError('signature', options)
  if (error instanceof errors.JOSEError) return new TokenError('malformed', options)
  // What is left comes from a key that cannot be used, such as RSA under 2048 bits.
  return new TokenError('unknown_key', options)
}

interface KeySet {
  find: JWTVerifyGetKey
  ready(): Promise<void>
  status(): KeySetStatus
}

function givenKeys(given: JSONWebKeySet | JWK[]): KeySet {
  const keys = Array.isArray(given) ? given : given.keys
  if (!Array.isArray(keys)) throw new TypeError('The keys must be a list of JWKs, or a key set (RFC 7517).')
  if (keys.some(key => 'd' in key || 'k' in key))
    throw new TypeError('The keys must be public keys: one of them is private.')
  const find = createLocalJWKSet({ keys })
  return {
    find: (header, token) => find(header, token).catch(refuseKey),
    ready: async () => {},
    status: () => ({ keys: keys.length, age: null }),
  }
}

function remoteKeys(jwksUrl: string | URL): KeySet {
  const url = new URL(jwksUrl)
  if (url.username || url.password)
    throw new TypeError('The jwksUrl must hold no user and password: fetch refuses those.')
  const cache: JWKSCacheInput = {}
  const remote = createRemoteJWKSet(url, { cooldownDuration: 0, [jwksCache]: cache })
  return {
    async find(header, token) {
      // An answer that was asked for before this token came may be from before its key.
      const isOld = remote.reloading
      return remote(header, token)
        .catch(error => {
          if (isOld && error instanceof errors.JWKSNoMatchingKey) return remote(header, token)
          throw error
        })
        .catch(refuseKey)
    },
    async ready() {
      if (!remote.fresh || remote.jwks()?.keys.length === 0) await remote.reload().catch(refuseKey)
    },
    status: () => ({
      keys: remote.jwks()?.keys.length ?? 0,
      age: cache.uat === undefined ? null : (Date.now() - cache.uat) / 1000,
    }),
  }
}

function refuseKey(error: unknown): never {
  const unknown =
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys ||
    error instanceof errors.JOSENotSupported
  throw new TokenError(unknown ? 'unknown_key' : 'keys_unavailable', { cause: error })
}

function defaultJwksUrl(issuer: string): URL {
  if (!URL.canParse(issuer)) throw new TypeError('The issuer is not a URL: createVerifier needs a jwksUrl.')
  return new URL('/api/auth/jwks', issuer)
}
