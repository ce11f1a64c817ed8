import type { Algorithm } from '../token/algorithms.js'
import { TokenError } from '../token-error.js'
import type { KeyProblem } from './key-fetch.js'
import type { SigningKey } from './signing-keys.js'

/** What the header of a token says about its key. */
export interface KeyHint {
  kid: string | undefined
  alg: Algorithm
}

/** State of the issuer's keys. */
export interface KeySetStatus {
  /** Number of keys. */
  keys: number
  /** Seconds since the keys were fetched, or null if they never were. Keys from the `keys` option have no age. */
  age: number | null
  /** Why the last fetch failed, in one word without names, or null if it succeeded. */
  lastError: KeyProblem | null
}

/** The keys of an issuer. */
export interface KeySource {
  /** Starts a refresh if one is due. Returns a promise only if the caller must wait for it. */
  refresh(): Promise<void> | undefined
  /**
   * Keys that may have signed such a token.
   *
   * @throws TokenError `unknown_key` if the issuer has none, `keys_unavailable` if the issuer cannot be asked
   */
  find(hint: KeyHint): Promise<SigningKey[]>
  /**
   * Newer keys, after the signature failed under the known ones.
   *
   * @throws TokenError `keys_unavailable` for a token without a kid, if the issuer cannot be asked
   */
  findReplaced(hint: KeyHint, failed: readonly SigningKey[]): Promise<SigningKey[]>
  /** Whether tokens signed by this key are still accepted. */
  isTrusted(key: SigningKey): boolean
  ready(): Promise<void>
  status(): KeySetStatus
}

export const matchesHint = (key: SigningKey, { kid, alg }: KeyHint) =>
  key.forms.has(alg) && (kid === undefined || key.kid === kid)

/**
 * Keys that may have signed such a token. A token without a kid (RFC 7515 section 4.1.4 leaves it optional) is accepted only if exactly
 * one key matches.
 *
 * @throws TokenError `unknown_key` for a token without a kid that matches several keys
 */
export function matchingKeys(keys: Iterable<SigningKey>, hint: KeyHint): SigningKey[] {
  const found = [...keys].filter(key => matchesHint(key, hint))
  if (hint.kid === undefined && found.length > 1) throw new TokenError('unknown_key')
  return found
}

/** Keys from the `keys` option, which never change. */
export function fixedKeys(keys: Promise<SigningKey[]>): KeySource {
  let count = 0
  keys.then(
    ({ length }) => {
      count = length
    },
    () => {},
  )
  return {
    refresh: () => undefined,
    async find(hint) {
      const found = matchingKeys(await keys, hint)
      if (found.length === 0) throw new TokenError('unknown_key')
      return found
    },
    findReplaced: async () => [],
    isTrusted: () => true,
    async ready() {
      await keys
    },
    status: () => ({ keys: count, age: null, lastError: null }),
  }
}
