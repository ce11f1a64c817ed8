import { TokenError } from '../token-error.js'
import type { Algorithm } from './algorithms.js'
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
  /** Why the last try to fetch them failed, or null where it did not. */
  lastError: string | null
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
  /** Keys that were not there when such a token's signature failed under those at hand. */
  findReplaced(hint: KeyHint, failed: readonly SigningKey[]): Promise<SigningKey[]>
  /** Whether what this key has signed still counts. */
  isLive(key: SigningKey): boolean
  ready(): Promise<void>
  status(): KeySetStatus
}

/** Without a kid a token counts only where one key alone can have signed it (RFC 7515 section 4.1.4 leaves it open). */
export function matchingKeys(keys: Iterable<SigningKey>, { kid, alg }: KeyHint): SigningKey[] {
  const fitting = [...keys].filter(key => key.forms.has(alg) && (kid === undefined || key.kid === kid))
  return kid === undefined && fitting.length > 1 ? [] : fitting
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
