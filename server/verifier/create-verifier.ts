import { type CryptoKey, compactVerify, errors } from 'jose'
import type { User } from '../../shared/user.js'
import { deepFreeze, frozenCopy } from './deep-freeze.js'
import { inTime } from './in-time.js'
import type { KeyHint, KeySetStatus } from './keys/key-source.js'
import type { SigningKey } from './keys/signing-keys.js'
import { onceAtATime } from './once-at-a-time.js'
import { describeRefused } from './refused-token.js'
import { thrownBy } from './thrown.js'
import { isAlgorithm } from './token/algorithms.js'
import { type Claims, judgeClaims } from './token/claim-rules.js'
import { parseToken } from './token/compact-token.js'
import { TokenError } from './token-error.js'
import { issuerOf, type TrustedIssuer } from './trusted-issuer.js'
import { hookPatience, userOf } from './user-option.js'
import type { Verdict } from './verdict-cache.js'
import { checkedOptions, mediaType, type VerifierOptions } from './verifier-options.js'

/** Decides who a token speaks for. */
export interface Verifier {
  /**
   * The user of a token: frozen, or made for this request alone (see `user`).
   *
   * @throws TokenError with the reason, when the token is refused or the keys cannot be had; Error when the `user` option does not answer
   */
  verify(token: string): Promise<User>
  /**
   * Fetches the keys where there are none at hand.
   *
   * @throws TokenError `keys_unavailable`
   */
  ready(): Promise<void>
  /**
   * Of several issuers: the number of keys of all, and the age and error of the one that is worst off. Keys that were given have
   * no age.
   */
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
  const { issuers, clockTolerance, maxTokenAge, types, user, isRevoked, onRevocationError, cache, now } =
    checkedOptions(options)
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
    if (!types.has(mediaType(typ))) throw new TokenError('claims', { claim: 'typ' })
    const { claims } = parsed
    judge(claims, issuer)
    deepFreeze(claims)
    const made = frozenCopy(await userOf(claims, user)) ?? null
    const verdict = { claims, user: made, key, issuer }
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
    const asked = Promise.resolve(claims)
      .then(isRevoked)
      .catch(error => {
        throw thrownBy('isRevoked', error)
      })
    const revoked = await inTime(hookPatience, asked).catch(cause => {
      if (onRevocationError === 'accept') return false
      throw new TokenError('revocation_unavailable', { cause })
    })
    if (revoked) throw new TokenError('revoked')
  }

  return {
    async verify(token) {
      try {
        const { claims, user: made } = (await known(token)) ?? (await proveOnce(token))
        if (isRevoked !== undefined) await checkRevoked(claims)
        return made ?? (await userOf(claims, user))
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

function worstOf(all: readonly KeySetStatus[]): KeySetStatus {
  const fetched = all.filter(({ keys, age }) => keys === 0 || age !== null)
  const ages = fetched.length === 0 ? [null] : fetched.map(({ age }) => age)
  return {
    keys: all.reduce((sum, { keys }) => sum + keys, 0),
    age: ages.includes(null) ? null : Math.max(...ages.map(Number)),
    lastError: all.find(({ lastError }) => lastError !== null)?.lastError ?? null,
  }
}
