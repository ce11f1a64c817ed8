import { inTime } from '../in-time.js'
import { patience } from './key-fetch.js'

/** How long an answer is waited for here: a `fetch` that heeds its signal has ended before. */
const givenUpAfter = patience + 250
/** How long a fetch is waited for: it has ended by then, unless the runtime has ended it. */
const lostAfter = patience + 500

/** What is fetched, and what becomes of it. Times are milliseconds. */
export interface SharedFetchOptions<T> {
  fetch: () => Promise<T>
  take: (answer: T) => void
  /** What it throws is what everybody gets who waits. */
  refuse: (error: unknown) => void
  now: () => number
}

/** One fetch at a time, for all who ask; where one seems lost, the next one counts in its stead. */
export class SharedFetch<T> {
  readonly #options: SharedFetchOptions<T>
  #begun = 0
  #latest: Promise<void> = Promise.resolve()
  /** When the fetch that has not ended was begun. */
  #underWaySince: number | null = null

  constructor(options: SharedFetchOptions<T>) {
    this.#options = options
  }

  /** Number of fetches begun: who sees it grow knows of an answer from after they came. */
  get begun() {
    return this.#begun
  }

  get isUnderWay() {
    return this.sinceBegun < lostAfter
  }

  /** Some runtimes (Cloudflare's) end a fetch with the request that began it. */
  get isLost() {
    return this.#underWaySince !== null && !this.isUnderWay
  }

  /** Milliseconds since the fetch was begun that has not ended. */
  get sinceBegun() {
    return this.#underWaySince === null ? Number.POSITIVE_INFINITY : this.#options.now() - this.#underWaySince
  }

  /** Joins the fetch that is under way, or begins one. */
  join(): Promise<void> {
    if (!this.isUnderWay) this.#latest = this.#begin()
    return this.latest()
  }

  /** The fetch that was begun last, under way or done. */
  latest(): Promise<void> {
    return inTime(lostAfter, this.#latest)
  }

  async #begin(): Promise<void> {
    const number = ++this.#begun
    // Of two that are under way, as the first seemed lost, the last one counts.
    const isLatest = () => number === this.#begun
    this.#underWaySince = this.#options.now()
    try {
      const answer = await inTime(givenUpAfter, this.#options.fetch())
      if (isLatest()) this.#options.take(answer)
    } catch (error) {
      if (isLatest()) this.#options.refuse(error)
    } finally {
      if (isLatest()) this.#underWaySince = null
    }
    // Whoever waited for this one has the answer of that one, not none.
    if (!isLatest()) await this.#latest
  }
}
