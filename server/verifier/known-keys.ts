import type { SigningKey } from './signing-keys.js'

/** Milliseconds that a key counts after the issuer has taken it out of its set. */
const farewell = 60_000

/** The keys at hand: those of the last good answer, whole, and for a while those that are no longer in it. */
export class KnownKeys {
  readonly #now: () => number
  #current = new Map<string, SigningKey>()
  readonly #leaving = new Map<string, { key: SigningKey; until: number }>()

  constructor(now: () => number) {
    this.#now = now
  }

  /** Number of keys in the last good answer. */
  get size() {
    return this.#current.size
  }

  replace(keys: readonly SigningKey[]) {
    const until = this.#now() + farewell
    // A key that stays is the same object, and what it has proven stays proven.
    const next = new Map(keys.map(key => [key.id, this.#current.get(key.id) ?? key]))
    for (const [id, key] of this.#current) if (!next.has(id)) this.#leaving.set(id, { key, until })
    for (const [id, { until }] of this.#leaving) {
      if (next.has(id) || until <= this.#now()) this.#leaving.delete(id)
    }
    this.#current = next
  }

  has({ id }: SigningKey): boolean {
    return this.#current.has(id) || (this.#leaving.get(id)?.until ?? 0) > this.#now()
  }

  *[Symbol.iterator]() {
    yield* this.#current.values()
    for (const { key, until } of this.#leaving.values()) if (until > this.#now()) yield key
  }
}
