import { type KeyHint, matchesHint, matchingKeys } from './key-source.js'
import type { SigningKey } from './signing-keys.js'

/** Milliseconds that a key is still accepted after the issuer removed it. */
const removedKeyLifetime = 60_000

/** The keys of the last good answer, and for a while the keys that it removed. */
export class KnownKeys {
  readonly #now: () => number
  #current = new Map<string, SigningKey>()
  readonly #removed = new Map<string, { key: SigningKey; since: number }>()

  constructor(now: () => number) {
    this.#now = now
  }

  /** Number of keys in the last good answer. */
  get size() {
    return this.#current.size
  }

  replace(keys: readonly SigningKey[]) {
    const since = this.#now()
    // A key that stays keeps its object, so that tokens verified with it stay verified.
    const next = new Map(keys.map(key => [key.id, this.#current.get(key.id) ?? key]))
    for (const [id, key] of this.#current) if (!next.has(id)) this.#removed.set(id, { key, since })
    for (const id of this.#removed.keys()) if (next.has(id) || !this.#isRecent(id)) this.#removed.delete(id)
    this.#current = next
  }

  has({ id }: SigningKey): boolean {
    return this.#current.has(id) || this.#isRecent(id)
  }

  /**
   * Keys that may have signed such a token.
   *
   * @throws TokenError `unknown_key`, as `matchingKeys`
   */
  matching(hint: KeyHint): SigningKey[] {
    const removed = [...this.#removed.values()]
      .map(({ key }) => key)
      .filter(key => this.#isRecent(key.id) && matchesHint(key, hint))
    const isUnambiguous = hint.kid !== undefined || removed.length === 1
    return [...matchingKeys(this.#current.values(), hint), ...(isUnambiguous ? removed : [])]
  }

  #isRecent(id: string): boolean {
    const since = this.#removed.get(id)?.since
    return since !== undefined && this.#now() - since < removedKeyLifetime
  }
}
