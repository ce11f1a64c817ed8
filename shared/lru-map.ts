/** Bounds of an {@link LruMap}. */
export interface LruMapOptions<Key> {
  maxEntries: number
  /** Largest sum of `sizeOf` over all keys. @default no limit */
  maxSize?: number
  sizeOf?: (key: Key) => number
}

/** A map with a limit: when it is full, the least recently used entry is dropped. */
export class LruMap<Key, Value extends NonNullable<unknown>> {
  /** In the order of use: a Map iterates in the order of insertion, and each use inserts the entry again. */
  readonly #entries = new Map<Key, Value>()
  /** Continues where it stopped. A new iterator would first pass all slots that dropped entries have left in the Map. */
  readonly #oldestFirst = this.#entries.keys()
  readonly #maxEntries: number
  readonly #maxSize: number
  readonly #sizeOf: (key: Key) => number
  #size = 0

  constructor({ maxEntries, maxSize = Number.POSITIVE_INFINITY, sizeOf = () => 0 }: LruMapOptions<Key>) {
    this.#maxEntries = maxEntries
    this.#maxSize = maxSize
    this.#sizeOf = sizeOf
  }

  get(key: Key): Value | undefined {
    const value = this.#entries.get(key)
    if (value === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, value)
    return value
  }

  has(key: Key): boolean {
    return this.#entries.has(key)
  }

  set(key: Key, value: Value): void {
    this.delete(key)
    this.#entries.set(key, value)
    this.#size += this.#sizeOf(key)
    while (this.#entries.size > this.#maxEntries || this.#size > this.#maxSize) this.#dropOldest()
  }

  delete(key: Key): void {
    if (this.#entries.delete(key)) this.#size -= this.#sizeOf(key)
  }

  clear(): void {
    this.#entries.clear()
    this.#size = 0
  }

  #dropOldest(): void {
    const oldest = this.#oldestFirst.next()
    if (!oldest.done) this.delete(oldest.value)
  }
}
