import { LruMap } from '../../shared/lru-map.js'
import type { User } from '../../shared/user.js'
import { monotonicClock } from './clock.js'
import type { SigningKey } from './keys/signing-keys.js'
import type { Claims } from './token/claims.js'
import { maxTokenLength } from './token/compact-token.js'
import type { TrustedIssuer } from './trusted-issuer.js'

/** A token whose signature was verified: this key of this issuer signed these claims. */
export interface VerifiedToken {
  claims: Claims
  /** The frozen user, or null if the user cannot be frozen and each request makes its own. */
  user: User | null
  key: SigningKey
  issuer: TrustedIssuer
}

/** Limits of the cache of verified tokens. */
export interface CacheOptions {
  /** Most tokens in the cache, at an average length of 1,024 characters: it holds fewer long ones. @default 10_000 */
  maxEntries?: number | undefined
  /** Seconds until a signature is verified again. @default 60 */
  maxAge?: number | undefined
}

const averageTokenLength = 1_024

/** Remembers verified tokens by their whole text. It never holds a refused token. */
export interface TokenCache {
  /** The token, as long as its key is trusted. The caller must check its times. */
  get(token: string): VerifiedToken | undefined
  set(token: string, verified: VerifiedToken): void
}

export function createTokenCache(
  { maxEntries = 10_000, maxAge = 60 }: CacheOptions,
  now: () => number,
): TokenCache {
  const clock = monotonicClock(now)
  const entries = new LruMap<string, { verified: VerifiedToken; since: number }>({
    maxEntries,
    maxSize: Math.max(maxEntries * averageTokenLength, maxTokenLength),
    sizeOf: token => token.length,
  })
  return {
    get(token) {
      const entry = entries.get(token)
      if (entry === undefined) return undefined
      const { verified, since } = entry
      const age = clock() - since
      if (age < maxAge * 1000 && verified.issuer.keys.isTrusted(verified.key)) return verified
      entries.delete(token)
      return undefined
    },
    set(token, verified) {
      entries.set(token, { verified, since: clock() })
    },
  }
}
