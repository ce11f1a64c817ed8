import { LRUCache } from 'lru-cache'
import type { User } from '../../shared/user.js'
import type { SigningKey } from './keys/signing-keys.js'
import { steadyClock } from './steady-clock.js'
import type { Claims } from './token/claim-rules.js'
import { maxTokenLength } from './token/compact-token.js'
import type { TrustedIssuer } from './trusted-issuer.js'

/** A proof: this key of this issuer has signed these claims. */
export interface Verdict {
  claims: Claims
  /** The user that they make, frozen; null where freezing does not hold it, and each request makes its own. */
  user: User | null
  key: SigningKey
  issuer: TrustedIssuer
}

/** Bounds of the cache of verdicts. */
export interface CacheOptions {
  /** Most tokens that are known at once, of 1,024 characters on average: of longer ones fewer are. @default 10_000 */
  maxEntries?: number | undefined
  /** Longest time, in seconds, that a token is known without its signature being verified again. @default 60 */
  maxAge?: number | undefined
}

/** Characters of a token, on average: what a longer one holds takes memory accordingly. */
const usualLength = 1_024

/** Keeps proofs, never refusals, by the whole token. */
export interface VerdictCache {
  /** The proof, as long as its key counts. Its times are the caller's to judge. */
  get(token: string): Verdict | undefined
  set(token: string, verdict: Verdict): void
}

export function createVerdictCache(
  { maxEntries = 10_000, maxAge = 60 }: CacheOptions,
  now: () => number,
): VerdictCache {
  const steadyNow = steadyClock(now)
  // From 11.3 on lru-cache publishes keys and values to whoever listens (node:diagnostics_channel): it is kept at 11.2.
  const entries = new LRUCache<string, { verdict: Verdict; since: number }>({
    max: maxEntries,
    maxSize: Math.max(maxEntries * usualLength, maxTokenLength),
    sizeCalculation: (_, token) => token.length,
  })
  return {
    get(token) {
      const entry = entries.get(token)
      if (entry === undefined) return undefined
      const { verdict, since } = entry
      const age = steadyNow() - since
      if (age < maxAge * 1000 && verdict.issuer.keys.isLive(verdict.key)) return verdict
      entries.delete(token)
      return undefined
    },
    set(token, verdict) {
      entries.set(token, { verdict, since: steadyNow() })
    },
  }
}
