import type { User } from '../../shared/user.js'
import { deepFreeze, frozenCopy } from './deep-freeze.js'
import { checkRevoked, makeUser } from './hooks.js'
import type { KeySetStatus } from './keys/key-source.js'
import { withLogDetails } from './refused-token.js'
import { isAlgorithm } from './token/algorithms.js'
import { checkClaims, checkTimes, shown } from './token/claims.js'
import { mediaType, parseToken } from './token/compact-token.js'
import { verifySignature } from './token/signature.js'
import type { VerifiedToken } from './token-cache.js'
import { TokenError } from './token-error.js'
import { issuerOf } from './trusted-issuer.js'
import { parseOptions, type VerifierOptions } from './verifier-options.js'

/** Verifies bearer tokens. */
export interface Verifier {
  /**
   * Returns the user of a token. The user is frozen, or made for this call only (see the `user` option).
   *
   * @throws TokenError with the reason if the token is refused or the keys cannot be fetched
   * @throws Error if the `user` option does not answer
   */
  verify(token: string): Promise<User>
  /**
   * Fetches the keys if there are none yet.
   *
   * @throws TokenError `keys_unavailable`
   */
  ready(): Promise<void>
  /** With several issuers: the number of all keys, the greatest age, and the first error. Keys from the `keys` option have no age. */
  status(): KeySetStatus
}

/**
 * Makes a verifier for the JWTs of an issuer. It checks signature, algorithm, issuer, audience and times (RFC 7515, RFC 7519,
 * RFC 8725). `exp` and `sub` are required, and a `typ` other than JWT is refused. docs/security.md explains every rule and default.
 *
 * @throws TypeError if an option is missing or invalid
 * @example
 * const verifier = createVerifier({ issuer: 'https://auth.example.com', audience: 'https://auth.example.com' })
 * const user = await verifier.verify(token)
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { issuers, clockTolerance, maxTokenAge, types, user, isRevoked, onRevocationError, cache, now } =
    parseOptions(options)

  const seconds = () => Math.floor(now() / 1000)

  async function verifyNew(token: string): Promise<VerifiedToken> {
    const parsed = parseToken(token)
    const issuer = issuerOf(parsed, issuers)
    const { alg, kid } = parsed
    if (!(isAlgorithm(alg) && issuer.algorithms.has(alg)))
      throw new TokenError('algorithm', { hint: `Its alg is ${shown(alg)}.` })
    const key = await verifySignature(token, { kid, alg }, issuer.keys)
    // The issuer signs access tokens, logout tokens and cookies with the same keys, each with its own typ.
    const { typ = 'JWT' } = parsed.header
    if (!types.has(mediaType(typ))) throw new TokenError('claims', { claim: 'typ' })
    const claims: Record<string, unknown> = parsed.claims
    checkClaims(claims, { ...issuer, clockTolerance, maxTokenAge }, seconds())
    deepFreeze(claims)
    const frozenUser = frozenCopy(await makeUser(claims, user)) ?? null
    const verified = { claims, user: frozenUser, key, issuer }
    cache?.set(token, verified)
    return verified
  }

  /** Only a token whose keys must be fetched first waits. */
  function verifyCached(token: string): VerifiedToken | undefined | Promise<VerifiedToken | undefined> {
    const verified = cache?.get(token)
    if (verified === undefined) return undefined
    const { issuer, key } = verified
    const refreshed = issuer.keys.refresh()
    if (refreshed !== undefined)
      return refreshed.then(() => (issuer.keys.isTrusted(key) ? checked(verified) : undefined))
    return checked(verified)
  }

  /** Its claims are frozen, so that only its times need another look, and whether its issuer is still one. */
  function checked(verified: VerifiedToken): VerifiedToken | undefined {
    checkTimes(verified.claims, { clockTolerance, maxTokenAge }, seconds())
    return verified.issuer.isIssuer(verified.claims.iss) ? verified : undefined
  }

  return {
    async verify(token) {
      try {
        const { claims, user: frozenUser } = (await verifyCached(token)) ?? (await verifyNew(token))
        if (isRevoked !== undefined) await checkRevoked(claims, isRevoked, onRevocationError)
        return frozenUser ?? (await makeUser(claims, user))
      } catch (error) {
        if (!(error instanceof TokenError)) throw error
        throw await withLogDetails(error, token, issuers)
      }
    },
    async ready() {
      await Promise.all(issuers.map(({ keys }) => keys.ready()))
    },
    status: () => combine(issuers.map(({ keys }) => keys.status())),
  }
}

function combine(all: readonly KeySetStatus[]): KeySetStatus {
  const fetched = all.filter(({ keys, age }) => keys === 0 || age !== null)
  const ages = fetched.length === 0 ? [null] : fetched.map(({ age }) => age)
  return {
    keys: all.reduce((sum, { keys }) => sum + keys, 0),
    age: ages.includes(null) ? null : Math.max(...ages.map(Number)),
    lastError: all.find(({ lastError }) => lastError !== null)?.lastError ?? null,
  }
}
