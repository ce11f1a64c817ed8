import { LRUCache } from 'lru-cache'
import { LateError } from '../in-time.js'
import { steadyClock } from '../steady-clock.js'
import { attempt } from '../thrown.js'
import { TokenError } from '../token-error.js'
import { backOff, TokenBucket } from './fetch-limits.js'
import { type FetchedKeys, KeyFetchError } from './key-fetch.js'
import type { KeyHint, KeySetStatus, KeySource } from './key-source.js'
import { KnownKeys } from './known-keys.js'
import { SharedFetch } from './shared-fetch.js'
import type { SigningKey } from './signing-keys.js'

/** Options of {@link RemoteKeys}. Times are milliseconds. */
export interface RemoteKeysOptions {
  fetch: () => Promise<FetchedKeys>
  maxStale: number
  now: () => number
  /** Called once for each new problem, until the issuer answers well again. Does not throw. */
  onProblem: (problem: string, error: unknown) => void
  /** Is given what nobody waits for. */
  waitUntil: (refresh: Promise<void>) => void
}

/** The part of its freshness after which a set is refreshed in the background. */
const refreshAfter = 0.8
/** How long after a fetch that was lost another one is begun in advance. */
const refreshAgain = 10_000
/** How long an answer without any key is not asked for again in advance: the issuer mints one when it signs. */
const emptyFor = 60_000
/** How often `ready` looks whether there is a key by now. */
const emptyLook = 5_000
/** How long a kid that the issuer was asked about and does not have is not asked about again. */
const unknownFor = 10_000
/** How old the keys must be before a signature that fails makes us look whether its key was replaced. */
const replacedAfter = 30_000
const maxUnknown = 1_000
/** An issuer that fails otherwise each time fills no memory. */
const maxTold = 100

/**
 * The keys of an issuer elsewhere: fetched once however many ask, refreshed in the background, kept while the issuer fails, and
 * replaced by a good answer only. Whoever invents kids makes us ask five times at once, and then once every ten seconds.
 */
export class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions
  readonly #now: () => number
  readonly #keys: KnownKeys
  readonly #bucket: TokenBucket
  readonly #fetch: SharedFetch<FetchedKeys>
  readonly #unknown = new LRUCache<string, number>({ max: maxUnknown })
  /** Time of the last good answer. */
  #fetchedAt: number | undefined
  #freshFor = 0
  /** When the next answer is asked for in advance. */
  #refreshAt = 0
  #failures = 0
  /** Until then the issuer is left alone. */
  #quietUntil = 0
  #problem: KeyFetchError | null = null
  /** Problems that were told since the last good answer. */
  readonly #told = new LRUCache<string, true>({ max: maxTold })

  constructor(options: RemoteKeysOptions) {
    this.#options = options
    this.#now = steadyClock(options.now)
    this.#keys = new KnownKeys(this.#now)
    this.#bucket = new TokenBucket({ burst: 5, refill: 10_000, now: this.#now })
    this.#fetch = new SharedFetch({
      fetch: options.fetch,
      take: answer => this.#take(answer),
      refuse: error => this.#refuse(error),
      now: this.#now,
    })
  }

  refresh(): Promise<void> | undefined {
    if (!this.#isUsable()) return this.#need()
    if (this.#quietFor() > 0 || !this.#isDue()) return undefined
    // Where the runtime has ended a fetch with its request, the background is no place for the next one.
    const mustWait = this.#fetch.isLost && this.#age() >= this.#freshFor && this.#problem === null
    const refreshed = this.#fetch.join().catch(() => {})
    if (mustWait) return refreshed
    this.#leave(refreshed)
    return undefined
  }

  async find(hint: KeyHint): Promise<SigningKey[]> {
    const { begun } = this.#fetch
    await this.refresh()
    const look = () => this.#keys.matching(hint)
    const found = look()
    if (found.length > 0) return found
    if (this.#isKnownToBeUnknown(hint)) throw new TokenError('unknown_key')
    const asked = await this.#ask(look, begun)
    if (asked.length > 0) return asked
    // An issuer without any key knows none of its own tokens: nothing is said of this one.
    if (this.#keys.size === 0) throw this.#unavailable()
    if (hint.kid !== undefined) this.#unknown.set(hint.kid, this.#now())
    throw new TokenError('unknown_key')
  }

  async findReplaced(hint: KeyHint, failed: readonly SigningKey[]): Promise<SigningKey[]> {
    const look = () => this.#keys.matching(hint).filter(key => !failed.includes(key))
    // Without a kid its key may be a new one, as one with an unknown kid.
    if (hint.kid === undefined) return this.#ask(look, this.#fetch.begun)
    if (this.#fetch.isUnderWay || (this.#age() > replacedAfter && this.#mayAsk()))
      await this.#fetch.join().catch(() => {})
    return look()
  }

  isLive(key: SigningKey): boolean {
    return this.#isUsable() && this.#keys.has(key)
  }

  async ready(): Promise<void> {
    const mayHaveOne = this.#keys.size === 0 && this.#age() > emptyLook && this.#quietFor() === 0
    await (mayHaveOne ? this.#need() : this.refresh())
    if (this.#keys.size === 0) throw this.#unavailable()
  }

  status(): KeySetStatus {
    const { size } = this.#keys
    return {
      keys: size,
      age: size === 0 ? null : this.#age() / 1000,
      lastError: this.#problem?.problem ?? null,
    }
  }

  /**
   * Asks the issuer for keys that are not at hand; `begun` is the number of fetches when their token came.
   *
   * @throws TokenError `keys_unavailable` where it may not be asked, or does not answer well
   */
  async #ask(look: () => SigningKey[], begun: number): Promise<SigningKey[]> {
    // An answer that was asked for before this token came may be from before its key.
    if (this.#fetch.isUnderWay && this.#fetch.begun === begun) await this.#fetch.join().catch(() => {})
    const early = look()
    if (early.length > 0) return early
    const isAsked = this.#fetch.begun > begun
    if (!isAsked && !this.#mayAsk()) throw this.#unavailable()
    await (isAsked ? this.#fetch.latest() : this.#fetch.join()).catch(() => {
      throw this.#unavailable()
    })
    return look()
  }

  #isKnownToBeUnknown({ kid }: KeyHint): boolean {
    const askedAt = kid === undefined ? undefined : this.#unknown.get(kid)
    return askedAt !== undefined && this.#now() - askedAt < unknownFor
  }

  /** Whether the issuer may be asked about a key that somebody names. */
  #mayAsk(): boolean {
    return this.#quietFor() === 0 && this.#bucket.take()
  }

  /** Fetches the keys for somebody who cannot go on without. */
  async #need(): Promise<void> {
    if (this.#quietFor() > 0 && !this.#fetch.isUnderWay) throw this.#unavailable()
    await this.#fetch.join().catch(() => {
      throw this.#unavailable()
    })
  }

  #take({ keys, freshFor }: FetchedKeys) {
    const now = this.#now()
    this.#keys.replace(keys)
    this.#fetchedAt = now
    this.#freshFor = freshFor
    this.#refreshAt = now + freshFor * refreshAfter
    this.#failures = 0
    this.#quietUntil = 0
    this.#problem = null
    if (keys.length > 0) this.#told.clear()
  }

  /** Keeps the keys as they are. An issuer that never had any, and says so, may be asked again: it mints one when it signs. */
  #refuse(error: unknown) {
    const problem = asKeyFetchError(error)
    const hasNoneYet = problem.problem === 'no_keys' && this.#keys.size === 0
    if (hasNoneYet) this.#take({ keys: [], freshFor: emptyFor })
    else if (problem.problem === 'no_keys' && this.#isUsable()) this.#refreshAt = this.#now() + emptyFor
    else this.#quietUntil = this.#now() + backOff(++this.#failures, problem.details.retryAfter)
    this.#problem = problem
    this.#tell(problem)
    if (!hasNoneYet) throw problem
  }

  /** Leaves a refresh to the runtime; where that cannot be, it goes on all the same. */
  #leave(refreshed: Promise<void>) {
    attempt(() => this.#options.waitUntil(refreshed)).catch(cause =>
      this.#tell(new TypeError('The waitUntil option has thrown.', { cause })),
    )
  }

  #tell(problem: Error) {
    if (this.#told.has(problem.message)) return
    this.#told.set(problem.message, true)
    this.#options.onProblem(problem.message, problem)
  }

  /** Milliseconds since the last good answer. */
  #age(): number {
    return this.#fetchedAt === undefined ? Number.POSITIVE_INFINITY : this.#now() - this.#fetchedAt
  }

  #isUsable(): boolean {
    return this.#age() <= Math.max(this.#options.maxStale, this.#freshFor)
  }

  #isDue(): boolean {
    return this.#fetch.sinceBegun >= refreshAgain && this.#now() >= this.#refreshAt
  }

  /** Milliseconds that the issuer is left alone. */
  #quietFor(): number {
    return Math.max(0, this.#quietUntil - this.#now())
  }

  #unavailable(): TokenError {
    const wait = this.#quietFor() || this.#bucket.nextIn()
    const retryAfter = Math.max(1, Math.ceil(wait / 1000))
    return new TokenError('keys_unavailable', { retryAfter, ...(this.#problem && { cause: this.#problem }) })
  }
}

function asKeyFetchError(error: unknown): KeyFetchError {
  if (error instanceof KeyFetchError) return error
  if (error instanceof LateError) return new KeyFetchError('timeout', 'The fetch option did not end in time.')
  return new KeyFetchError('invalid', 'The keys cannot be read.', { cause: error })
}
