import { callHook } from '../../../shared/error-handling.js'
import { LruMap } from '../../../shared/lru-map.js'
import { TimeoutError } from '../../../shared/timeout.js'
import { monotonicClock } from '../clock.js'
import { TokenError } from '../token-error.js'
import { backOff, TokenBucket } from './fetch-limits.js'
import { type FetchedKeys, KeyFetchError } from './key-fetch.js'
import type { KeyHint, KeySetStatus, KeySource } from './key-source.js'
import { KnownKeys } from './known-keys.js'
import type { SigningKey } from './signing-keys.js'
import { SingleFlight } from './single-flight.js'

/** Options of {@link RemoteKeys}. Times are milliseconds. */
export interface RemoteKeysOptions {
  fetch: () => Promise<FetchedKeys>
  maxStale: number
  now: () => number
  /** Called once for each new problem, until the issuer answers well again. Must not throw. */
  onProblem: (problem: string, error: unknown) => void
  /** Receives refreshes in the background. */
  waitUntil: (refresh: Promise<void>) => void
}

/** The part of the freshness after which keys are refreshed in the background. */
const refreshAfter = 0.8
/** Milliseconds until another background refresh, if the runtime stopped the first one. */
const restartLostAfter = 10_000
/** Milliseconds until an empty key set is fetched again in the background. */
const emptySetFreshness = 60_000
/** Milliseconds between two checks of `ready` while the issuer has no key. */
const emptySetRecheck = 5_000
/** Milliseconds until the issuer is asked again about a kid that it did not have. */
const unknownKidLifetime = 10_000
/** Age of the keys, in milliseconds, from which a failed signature may mean that a key was replaced under its kid. */
const replacedKeyAge = 30_000
const maxUnknownKids = 1_000
const maxReportedProblems = 100

/**
 * The keys of a remote issuer: fetched once for all callers, refreshed in the background, kept while the issuer fails, and replaced only
 * by a good answer. Invented kids cause at most five fetches at once, and then one every ten seconds.
 */
export class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions
  readonly #now: () => number
  readonly #keys: KnownKeys
  readonly #bucket: TokenBucket
  readonly #fetch: SingleFlight<FetchedKeys>
  readonly #unknownKids = new LruMap<string, number>({ maxEntries: maxUnknownKids })
  /** Time of the last good answer. */
  #fetchedAt: number | undefined
  #freshFor = 0
  /** Time of the next background refresh. */
  #refreshAt = 0
  #failures = 0
  #backOffUntil = 0
  #problem: KeyFetchError | null = null
  /** Problems that were reported since the last good answer. */
  readonly #reported = new LruMap<string, true>({ maxEntries: maxReportedProblems })

  constructor(options: RemoteKeysOptions) {
    this.#options = options
    this.#now = monotonicClock(options.now)
    this.#keys = new KnownKeys(this.#now)
    this.#bucket = new TokenBucket({ burst: 5, refill: 10_000, now: this.#now })
    this.#fetch = new SingleFlight({
      fetch: options.fetch,
      onAnswer: answer => this.#accept(answer),
      onError: error => this.#reject(error),
      now: this.#now,
    })
  }

  refresh(): Promise<void> | undefined {
    if (!this.#isUsable()) return this.#fetchNow()
    if (this.#backOffLeft() > 0 || !this.#isRefreshDue()) return undefined
    // If the runtime stops a fetch with its request, a background refresh would never finish.
    const mustWait = this.#fetch.isLost && this.#age() >= this.#freshFor && this.#problem === null
    const refreshed = this.#fetch.run().catch(() => {})
    if (mustWait) return refreshed
    this.#continueInBackground(refreshed)
    return undefined
  }

  async find(hint: KeyHint): Promise<SigningKey[]> {
    const { started } = this.#fetch
    await this.refresh()
    const look = () => this.#keys.matching(hint)
    const found = look()
    if (found.length > 0) return found
    if (this.#isUnknownKid(hint)) throw new TokenError('unknown_key')
    const fetched = await this.#askIssuer(look, started)
    if (fetched.length > 0) return fetched
    // An issuer that has no key yet cannot say anything about its tokens.
    if (this.#keys.size === 0) throw this.#unavailable()
    if (hint.kid !== undefined) this.#unknownKids.set(hint.kid, this.#now())
    throw new TokenError('unknown_key')
  }

  async findReplaced(hint: KeyHint, failed: readonly SigningKey[]): Promise<SigningKey[]> {
    const look = () => this.#keys.matching(hint).filter(key => !failed.includes(key))
    // A token without a kid may be signed by a new key, as one with an unknown kid.
    if (hint.kid === undefined) return this.#askIssuer(look, this.#fetch.started)
    if (this.#fetch.isRunning || (this.#age() > replacedKeyAge && this.#mayAskIssuer()))
      await this.#fetch.run().catch(() => {})
    return look()
  }

  isTrusted(key: SigningKey): boolean {
    return this.#isUsable() && this.#keys.has(key)
  }

  async ready(): Promise<void> {
    const mayHaveKeysNow = this.#keys.size === 0 && this.#age() > emptySetRecheck && this.#backOffLeft() === 0
    await (mayHaveKeysNow ? this.#fetchNow() : this.refresh())
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
   * Asks the issuer for a key that is not known.
   *
   * @param started the number of fetches when the token came: an older fetch may have missed its key
   * @throws TokenError `keys_unavailable` if the issuer may not be asked, or does not answer well
   */
  async #askIssuer(look: () => SigningKey[], started: number): Promise<SigningKey[]> {
    if (this.#fetch.isRunning && this.#fetch.started === started) await this.#fetch.run().catch(() => {})
    const early = look()
    if (early.length > 0) return early
    const isAsked = this.#fetch.started > started
    if (!isAsked && !this.#mayAskIssuer()) throw this.#unavailable()
    await (isAsked ? this.#fetch.latest() : this.#fetch.run()).catch(() => {
      throw this.#unavailable()
    })
    return look()
  }

  #isUnknownKid({ kid }: KeyHint): boolean {
    const askedAt = kid === undefined ? undefined : this.#unknownKids.get(kid)
    return askedAt !== undefined && this.#now() - askedAt < unknownKidLifetime
  }

  /** Whether the issuer may be asked because of an unverified token. */
  #mayAskIssuer(): boolean {
    return this.#backOffLeft() === 0 && this.#bucket.take()
  }

  async #fetchNow(): Promise<void> {
    if (this.#backOffLeft() > 0 && !this.#fetch.isRunning) throw this.#unavailable()
    await this.#fetch.run().catch(() => {
      throw this.#unavailable()
    })
  }

  #accept({ keys, freshFor }: FetchedKeys) {
    const now = this.#now()
    this.#keys.replace(keys)
    this.#fetchedAt = now
    this.#freshFor = freshFor
    this.#refreshAt = now + freshFor * refreshAfter
    this.#failures = 0
    this.#backOffUntil = 0
    this.#problem = null
    if (keys.length > 0) this.#reported.clear()
  }

  /** Keeps the known keys. An empty set is no failure: some issuers make their first key when they first sign. */
  #reject(error: unknown) {
    const problem = toKeyFetchError(error)
    const hasNoneYet = problem.problem === 'no_keys' && this.#keys.size === 0
    if (hasNoneYet) this.#accept({ keys: [], freshFor: emptySetFreshness })
    else if (problem.problem === 'no_keys' && this.#isUsable())
      this.#refreshAt = this.#now() + emptySetFreshness
    else this.#backOffUntil = this.#now() + backOff(++this.#failures, problem.details.retryAfter)
    this.#problem = problem
    this.#report(problem)
    if (!hasNoneYet) throw problem
  }

  #continueInBackground(refreshed: Promise<void>) {
    callHook(
      () => this.#options.waitUntil(refreshed),
      cause => this.#report(new TypeError('The waitUntil option has thrown.', { cause })),
    )
  }

  #report(problem: Error) {
    if (this.#reported.has(problem.message)) return
    this.#reported.set(problem.message, true)
    this.#options.onProblem(problem.message, problem)
  }

  /** Milliseconds since the last good answer. */
  #age(): number {
    return this.#fetchedAt === undefined ? Number.POSITIVE_INFINITY : this.#now() - this.#fetchedAt
  }

  #isUsable(): boolean {
    return this.#age() <= Math.max(this.#options.maxStale, this.#freshFor)
  }

  #isRefreshDue(): boolean {
    return this.#fetch.elapsed >= restartLostAfter && this.#now() >= this.#refreshAt
  }

  #backOffLeft(): number {
    return Math.max(0, this.#backOffUntil - this.#now())
  }

  #unavailable(): TokenError {
    const wait = this.#backOffLeft() || this.#bucket.nextIn()
    const retryAfter = Math.max(1, Math.ceil(wait / 1000))
    return new TokenError('keys_unavailable', { retryAfter, ...(this.#problem && { cause: this.#problem }) })
  }
}

function toKeyFetchError(error: unknown): KeyFetchError {
  if (error instanceof KeyFetchError) return error
  if (error instanceof TimeoutError)
    return new KeyFetchError('timeout', 'The fetch option did not answer in time.')
  return new KeyFetchError('invalid', 'The keys cannot be read.', { cause: error })
}
