import { LRUCache } from 'lru-cache'
import { TokenError } from '../token-error.js'
import { backOff } from './back-off.js'
import { type FetchedKeys, KeyFetchError } from './key-fetch.js'
import { type KeyHint, type KeySetStatus, type KeySource, matchingKeys } from './key-source.js'
import { KnownKeys } from './known-keys.js'
import type { SigningKey } from './signing-keys.js'
import { TokenBucket } from './token-bucket.js'

/** Options of {@link RemoteKeys}. Times are milliseconds. */
export interface RemoteKeysOptions {
  fetch: () => Promise<FetchedKeys>
  maxStale: number
  now: () => number
  /** Called once for each new problem, until the issuer answers well again. */
  onProblem: (problem: string, error: unknown) => void
}

/** How long an answer without any key is fresh: the issuer mints one when it signs. */
const emptyFor = 60_000
/** How often `ready` looks whether there is a key by now. */
const emptyLook = 5_000
/** How long a kid that the issuer was asked about and does not have is not asked about again. */
const unknownFor = 10_000
/** How old the keys must be before a signature that fails makes us look whether its key was replaced. */
const replacedAfter = 30_000
const maxUnknown = 1_000

/**
 * The keys of an issuer elsewhere: fetched once however many ask, refreshed before they are stale, kept while the issuer fails, and
 * replaced by a good answer only. Whoever invents kids makes us ask five times at once, and then once every ten seconds.
 */
export class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions
  readonly #keys: KnownKeys
  readonly #bucket: TokenBucket
  readonly #unknown = new LRUCache<string, number>({ max: maxUnknown })
  /** Number of fetches begun: who sees it grow knows of an answer from after they came. */
  #begun = 0
  /** The fetch that was begun last, under way or done. */
  #latest: Promise<void> = Promise.resolve()
  #isFetching = false
  /** Time of the last good answer. */
  #fetchedAt: number | undefined
  #freshFor = 0
  #failures = 0
  /** Until then the issuer is left alone. */
  #quietUntil = 0
  #problem: KeyFetchError | null = null

  constructor(options: RemoteKeysOptions) {
    this.#options = options
    this.#keys = new KnownKeys(options.now)
    this.#bucket = new TokenBucket({ burst: 5, refill: 10_000, now: options.now })
  }

  refresh(): Promise<void> | undefined {
    if (!this.#isUsable()) return this.#need()
    const age = this.#age()
    if (age < this.#freshFor * 0.8 || this.#isQuiet()) return undefined
    const isFailing = this.#problem !== null
    const refreshed = this.#fetch().catch(() => {})
    // Nobody waits for an issuer that fails; and where there are callers it is asked before anybody would have to.
    return age < this.#freshFor || isFailing ? undefined : refreshed
  }

  async find(hint: KeyHint): Promise<SigningKey[]> {
    const begun = this.#begun
    await this.refresh()
    const found = matchingKeys(this.#keys, hint)
    return found.length > 0 ? found : this.#ask(hint, begun)
  }

  async findReplaced(hint: KeyHint, failed: readonly SigningKey[]): Promise<SigningKey[]> {
    if (this.#isFetching || (this.#age() > replacedAfter && !this.#isQuiet() && this.#bucket.take()))
      await this.#fetch().catch(() => {})
    return matchingKeys(this.#keys, hint).filter(key => !failed.includes(key))
  }

  isLive(key: SigningKey): boolean {
    return this.#isUsable() && this.#keys.has(key)
  }

  async ready(): Promise<void> {
    const mayHaveOne = this.#keys.size === 0 && this.#age() > emptyLook && !this.#isQuiet()
    await (mayHaveOne ? this.#need() : this.refresh())
  }

  status(): KeySetStatus {
    const { size } = this.#keys
    return {
      keys: size,
      age: size === 0 ? null : this.#age() / 1000,
      lastError: this.#problem?.message ?? null,
    }
  }

  /** Asks the issuer about a kid that is not among the keys; `begun` is the number of fetches when its token came. */
  async #ask(hint: KeyHint, begun: number): Promise<SigningKey[]> {
    const { kid } = hint
    if (kid === undefined || this.#isKnownToBeUnknown(kid)) throw new TokenError('unknown_key')
    // An answer that was asked for before this token came may be from before its key.
    if (this.#isFetching && this.#begun === begun) await this.#latest.catch(() => {})
    const early = matchingKeys(this.#keys, hint)
    if (early.length > 0) return early
    if (this.#begun === begun && (this.#isQuiet() || !this.#bucket.take())) throw this.#unavailable()
    await (this.#begun === begun
      ? this.#need()
      : this.#latest.catch(() => Promise.reject(this.#unavailable())))
    const found = matchingKeys(this.#keys, hint)
    if (found.length > 0) return found
    this.#unknown.set(kid, this.#options.now())
    throw new TokenError('unknown_key')
  }

  #isKnownToBeUnknown(kid: string): boolean {
    const askedAt = this.#unknown.get(kid)
    return askedAt !== undefined && this.#options.now() - askedAt < unknownFor
  }

  /** Fetches the keys for somebody who cannot go on without. */
  async #need(): Promise<void> {
    if (this.#isQuiet() && !this.#isFetching) throw this.#unavailable()
    await this.#fetch().catch(() => {
      throw this.#unavailable()
    })
  }

  #fetch(): Promise<void> {
    if (this.#isFetching) return this.#latest
    this.#isFetching = true
    this.#begun++
    this.#latest = this.#options
      .fetch()
      .then(
        answer => this.#take(answer),
        error => this.#refuse(error),
      )
      .finally(() => {
        this.#isFetching = false
      })
    // Whoever waits for it has their own.
    this.#latest.catch(() => {})
    return this.#latest
  }

  #take({ keys, freshFor }: FetchedKeys) {
    this.#keys.replace(keys)
    this.#fetchedAt = this.#options.now()
    this.#freshFor = freshFor
    this.#failures = 0
    this.#quietUntil = 0
    this.#problem = null
  }

  #refuse(error: unknown) {
    const problem =
      error instanceof KeyFetchError ? error : new KeyFetchError('The keys cannot be read.', { cause: error })
    if (problem.message !== this.#problem?.message) this.#options.onProblem(problem.message, problem)
    const { isEmpty, retryAfter } = problem.details
    if (isEmpty && this.#keys.size === 0) this.#take({ keys: [], freshFor: emptyFor })
    this.#problem = problem
    if (isEmpty) {
      // It may mint a key at any moment: asked about one it is asked, but not in advance.
      this.#freshFor = this.#age() + emptyFor / 0.8
      if (this.#keys.size === 0) return
    } else {
      this.#quietUntil = this.#options.now() + backOff(++this.#failures, retryAfter)
    }
    throw problem
  }

  #age(): number {
    return this.#fetchedAt === undefined ? Number.POSITIVE_INFINITY : this.#options.now() - this.#fetchedAt
  }

  #isUsable(): boolean {
    return this.#age() <= this.#options.maxStale
  }

  #isQuiet(): boolean {
    return this.#options.now() < this.#quietUntil
  }

  #unavailable(): TokenError {
    const wait = Math.max(this.#quietUntil - this.#options.now(), this.#isQuiet() ? 0 : this.#bucket.nextIn())
    const retryAfter = Math.max(1, Math.ceil(wait / 1000))
    return new TokenError('keys_unavailable', { retryAfter, ...(this.#problem && { cause: this.#problem }) })
  }
}
