import type { Algorithm } from '../token/algorithms.js'
import { TokenError } from '../token-error.js'
import type { KeyProblem } from './key-fetch.js'
import type { SigningKey } from './signing-keys.js'

/** What a token says of its key. */
export interface KeyHint {
  kid: string | undefined
  alg: Algorithm
}

/** What is known of the issuer's keys. */
export interface KeySetStatus {
  /** Number of keys at hand. */
  keys: number
  /** Seconds since they were fetched, or null where they never were (or were given). */
  age: number | null
  /** Why the last try to fetch them failed, in a word that names nothing, or null where it did not. */
  lastError: KeyProblem | null
}

/** Where the keys of an issuer come from. */
export interface KeySource {
  /** Begins to refresh where that is due. A promise only where the caller has to wait for it. */
  refresh(): Promise<void> | undefined
  /**
   * Keys that may have signed such a token.
   *
   * @throws TokenError `unknown_key` when the issuer has none, `keys_unavailable` when that cannot be found out
   */
  find(hint: KeyHint): Promise<SigningKey[]>
  /**
   * Keys that were not there when such a token's signature failed under those at hand.
   *
   * @throws TokenError `keys_unavailable` for one without a kid, when that cannot be found out
   */
  findReplaced(hint: KeyHint, failed: readonly SigningKey[]): Promise<SigningKey[]>
  /** Whether what this key has signed still counts. */
  isLive(key: SigningKey): boolean
  ready(): Promise<void>
  status(): KeySetStatus
}

export const fits = (key: SigningKey, { kid, alg }: KeyHint) =>
  key.forms.has(alg) && (kid === undefined || key.kid === kid)

/**
 * Keys that may have signed such a token. Without a kid it counts only where one key alone may have (RFC 7515 section 4.1.4 leaves it
 * open).
 *
 * @throws TokenError `unknown_key` for one without a kid that several keys may have signed
 */
export function matchingKeys(keys: Iterable<SigningKey>, hint: KeyHint): SigningKey[] {
  const found = [...keys].filter(key => fits(key, hint))
  if (hint.kid === undefined && found.length > 1) throw new TokenError('unknown_key')
  return found
}

/** Keys at hand, which never change. */
export function givenKeys(keys: Promise<SigningKey[]>): KeySource {
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
    isLive: () => true,
    async ready() {
      await keys
    },
    status: () => ({ keys: count, age: null, lastError: null }),
  }
}
