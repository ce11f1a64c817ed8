import { type CryptoKey, compactVerify, errors } from 'jose'
import type { ZodError, ZodType } from 'zod'
import { type User, userFromClaims, userId } from '../../shared/user.js'
import { TokenError } from '../token-error.js'
import { isAlgorithm } from './algorithms.js'
import { type Claims, judgeClaims } from './claim-rules.js'
import { parseToken } from './compact-token.js'
import { deepFreeze, frozenCopy } from './deep-freeze.js'
import { inTime, LateError } from './in-time.js'
import type { KeyHint, KeySetStatus } from './key-source.js'
import { onceAtATime } from './once-at-a-time.js'
import { describeRefused } from './refused-token.js'
import type { SigningKey } from './signing-keys.js'
import { thrownBy } from './thrown.js'
import {
  type FetchOptions,
  type IssuerOptions,
  issuerOf,
  type TrustedIssuer,
  trustedIssuer,
} from './trusted-issuer.js'
import { type CacheOptions, createVerdictCache, type Verdict } from './verdict-cache.js'

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

/** Decides who a token speaks for. */
export interface Verifier {
  /**
   * The user of a token: frozen, or made for this request alone (see `user`).
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
  /** Of several issuers: the number of keys of all, and the age and error of the one that is worst off. */
  status(): KeySetStatus
}

/**
 * Makes a verifier of an issuer's JWTs, by its public keys alone: signature, algorithm, issuer, audience and times as RFC 7515,
 * RFC 7519 and RFC 8725 have them. `exp` and `sub` are required, a `typ` other than JWT is refused. The rules and the defaults, each
 * with its reason, are in docs/security.md.
 *
 * @throws TypeError when an option is missing or not understood
 * @example
 * const verifier = createVerifier({ issuer: 'https://auth.example.com', audience: 'https://auth.example.com' })
 * const user = await verifier.verify(token)
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const {
    clockTolerance = 5,
    maxTokenAge,
    types = ['JWT'],
    user: userSchema = userFromClaims,
    isRevoked,
    onRevocationError = 'refuse',
    cache: cacheOptions = {},
    now = Date.now,
  } = options
  if (!(Number.isFinite(clockTolerance) && clockTolerance >= 0))
    throw new TypeError('The clock tolerance must be seconds, 0 or more.')
  if (maxTokenAge !== undefined && !(maxTokenAge > 0))
    throw new TypeError('The maxTokenAge must be seconds, above 0.')
  const issuers = ('issuers' in options ? options.issuers : [options]).map(one => trustedIssuer(one, options))
  if (issuers.length === 0 || new Set(issuers.map(({ issuer }) => issuer)).size < issuers.length)
    throw new TypeError('The issuers must be one or more, and each another.')
  if (isRevoked !== undefined && typeof isRevoked !== 'function')
    throw new TypeError('The isRevoked must be a function of the claims.')
  if (!['refuse', 'accept'].includes(onRevocationError))
    throw new TypeError('The onRevocationError must be refuse or accept.')
  if (types.length === 0 || types.includes(''))
    throw new TypeError('The types must be one or more, such as JWT and at+jwt.')
  const allowedTypes = new Set(types.map(mediaType))
  const cache = cacheOptions === false ? null : createVerdictCache(cacheOptions, now)
  const proveOnce = onceAtATime(prove)

  function judge(
    claims: Record<string, unknown>,
    { issuer, audience }: TrustedIssuer,
  ): asserts claims is Claims {
    const rules = { issuer, audience, clockTolerance, maxTokenAge }
    judgeClaims(claims, rules, Math.floor(now() / 1000))
  }

  async function prove(token: string): Promise<Verdict> {
    const parsed = parseToken(token)
    const issuer = issuerOf(parsed, issuers)
    const { alg, kid } = parsed
    if (!(isAlgorithm(alg) && issuer.algorithms.has(alg))) throw new TokenError('algorithm')
    const key = await signerOf(token, { kid, alg }, issuer)
    // The same keys sign access tokens, logout tokens and cookies, each with a `typ` of its own.
    const { typ = 'JWT' } = parsed.header
    if (!allowedTypes.has(mediaType(typ))) throw new TokenError('claims', { claim: 'typ' })
    const { claims } = parsed
    judge(claims, issuer)
    deepFreeze(claims)
    const user = frozenCopy(await userOf(claims, userSchema)) ?? null
    const verdict = { claims, user, key, issuer }
    cache?.set(token, verdict)
    return verdict
  }

  async function known(token: string): Promise<Verdict | undefined> {
    const verdict = cache?.get(token)
    if (verdict === undefined) return undefined
    const refreshed = verdict.issuer.keys.refresh()
    if (refreshed !== undefined) {
      await refreshed
      if (!verdict.issuer.keys.isLive(verdict.key)) return undefined
    }
    judge(verdict.claims, verdict.issuer)
    return verdict
  }

  async function checkRevoked(claims: Claims): Promise<void> {
    const asked = Promise.resolve(claims).then(isRevoked)
    const revoked = await inTime(hookPatience, asked).catch(error => {
      if (onRevocationError === 'accept') return false
      const cause = error instanceof LateError ? error : thrownBy('isRevoked', error)
      throw new TokenError('revocation_unavailable', { cause })
    })
    if (revoked) throw new TokenError('revoked')
  }

  return {
    async verify(token) {
      try {
        const { claims, user } = (await known(token)) ?? (await proveOnce(token))
        if (isRevoked !== undefined) await checkRevoked(claims)
        return user ?? (await userOf(claims, userSchema))
      } catch (error) {
        if (!(error instanceof TokenError)) throw error
        throw await describeRefused(error, token, issuers)
      }
    },
    async ready() {
      await Promise.all(issuers.map(({ keys }) => keys.ready()))
    },
    status: () => worstOf(issuers.map(({ keys }) => keys.status())),
  }
}

/** How long `isRevoked` is waited for, in milliseconds. */
const hookPatience = 5_000

/** The key that has signed the token (RFC 7515 section 5.2). */
async function signerOf(token: string, hint: KeyHint, { keys }: TrustedIssuer): Promise<SigningKey> {
  const candidates = await keys.find(hint)
  const signer =
    (await verifiedBy(token, hint, candidates)) ??
    (await verifiedBy(token, hint, await keys.findReplaced(hint, candidates)))
  if (signer === undefined) throw new TokenError('signature')
  return signer
}

async function verifiedBy(token: string, { alg }: KeyHint, candidates: readonly SigningKey[]) {
  for (const candidate of candidates) {
    const key = candidate.forms.get(alg)
    if (key !== undefined && (await isSignedWith(token, key, alg))) return candidate
  }
  return undefined
}

async function isSignedWith(token: string, key: CryptoKey, alg: string): Promise<boolean> {
  try {
    await compactVerify(token, key, { algorithms: [alg] })
    return true
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) return false
    throw new TokenError('malformed', { cause: error })
  }
}

/** A media type without `application/`, as RFC 7515 section 4.1.9 recommends it. */
const mediaType = (type: unknown) =>
  typeof type === 'string' ? type.toLowerCase().replace(/^application\/(?=[^/]*$)/, '') : ''

async function userOf(claims: Claims, schema: ZodType<User>): Promise<User> {
  const { user, id } = await schema
    .safeParseAsync(claims)
    .then(user => ({ user, id: user.success ? userId.safeParse(user.data.id) : undefined }))
    .catch(error => {
      throw new TokenError('claims', { cause: thrownBy('user', error) })
    })
  if (!user.success) throw new TokenError('claims', { cause: user.error, claim: firstName(user.error) })
  if (id?.error) throw new TokenError('claims', { cause: id.error, claim: 'id' })
  return user.data
}

/** The claim that a schema found wrong first. */
function firstName({ issues }: ZodError): string | undefined {
  const name = issues[0]?.path[0]
  return name === undefined ? undefined : String(name)
}

function worstOf(all: readonly KeySetStatus[]): KeySetStatus {
  const ages = all.map(({ age }) => age)
  return {
    keys: all.reduce((sum, { keys }) => sum + keys, 0),
    age: ages.includes(null) ? null : Math.max(...ages.map(Number)),
    lastError: all.find(({ lastError }) => lastError !== null)?.lastError ?? null,
  }
}
