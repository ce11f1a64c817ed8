import { fits, type KeyHint, matchingKeys } from './key-source.js'
import type { SigningKey } from './signing-keys.js'

/** Milliseconds that a key counts after the issuer has taken it out of its set. */
const farewell = 60_000

/** The keys at hand: those of the last good answer, whole, and for a while those that are no longer in it. */
export class KnownKeys {
  readonly #now: () => number
  #current = new Map<string, SigningKey>()
  readonly #leaving = new Map<string, { key: SigningKey; since: number }>()

  constructor(now: () => number) {
    this.#now = now
  }

  /** Number of keys in the last good answer. */
  get size() {
    return this.#current.size
  }

  replace(keys: readonly SigningKey[]) {
    const since = this.#now()
    // A key that stays is the same object, and what it has proven stays proven.
    const next = new Map(keys.map(key => [key.id, this.#current.get(key.id) ?? key]))
    for (const [id, key] of this.#current) if (!next.has(id)) this.#leaving.set(id, { key, since })
    for (const id of this.#leaving.keys()) if (next.has(id) || !this.#isLeaving(id)) this.#leaving.delete(id)
    this.#current = next
  }

  has({ id }: SigningKey): boolean {
    return this.#current.has(id) || this.#isLeaving(id)
  }

  /**
   * Keys that may have signed such a token.
   *
   * @throws TokenError `unknown_key` as `matchingKeys`
   */
  matching(hint: KeyHint): SigningKey[] {
    const leaving = [...this.#leaving.values()]
      .map(({ key }) => key)
      .filter(key => this.#isLeaving(key.id) && fits(key, hint))
    const isClear = hint.kid !== undefined || leaving.length === 1
    return [...matchingKeys(this.#current.values(), hint), ...(isClear ? leaving : [])]
  }

  #isLeaving(id: string): boolean {
    const since = this.#leaving.get(id)?.since
    return since !== undefined && this.#now() - since < farewell
  }
}
