import { withTimeout } from '../../../shared/timeout.js'
import { fetchTimeout } from './key-fetch.js'

/** A custom `fetch` may ignore its signal: its answer is then given up a little later. */
const giveUpAfter = fetchTimeout + 250
/** After this time the runtime must have stopped the fetch. */
const lostAfter = fetchTimeout + 500

/** Options of {@link SingleFlight}. Times are milliseconds. */
export interface SingleFlightOptions<T> {
  fetch: () => Promise<T>
  onAnswer: (answer: T) => void
  /** What it throws is thrown to all who wait. */
  onError: (error: unknown) => void
  now: () => number
}

/** Runs one fetch at a time and shares it among all callers. If a fetch seems lost, the next one replaces it. */
export class SingleFlight<T> {
  readonly #options: SingleFlightOptions<T>
  #started = 0
  #latest: Promise<void> = Promise.resolve()
  /** Start of the running fetch. */
  #runningSince: number | null = null

  constructor(options: SingleFlightOptions<T>) {
    this.#options = options
  }

  /** The number of fetches so far. A caller that sees it grow knows that the latest fetch started after it came. */
  get started() {
    return this.#started
  }

  get isRunning() {
    return this.elapsed < lostAfter
  }

  /** Some runtimes (Cloudflare Workers) stop a fetch when the request that started it ends. */
  get isLost() {
    return this.#runningSince !== null && !this.isRunning
  }

  /** Milliseconds since the running fetch started, or infinity. */
  get elapsed() {
    return this.#runningSince === null ? Number.POSITIVE_INFINITY : this.#options.now() - this.#runningSince
  }

  /** Joins the running fetch, or starts one. */
  run(): Promise<void> {
    if (!this.isRunning) this.#latest = this.#start()
    return this.latest()
  }

  /** The fetch that started last, running or done. */
  latest(): Promise<void> {
    return withTimeout(this.#latest, lostAfter)
  }

  async #start(): Promise<void> {
    const number = ++this.#started
    // If the first fetch seemed lost and a second one runs, only the second one counts.
    const isLatest = () => number === this.#started
    this.#runningSince = this.#options.now()
    try {
      const answer = await withTimeout(this.#options.fetch(), giveUpAfter)
      if (isLatest()) this.#options.onAnswer(answer)
    } catch (error) {
      if (isLatest()) this.#options.onError(error)
    } finally {
      if (isLatest()) this.#runningSince = null
    }
    // Callers of the replaced fetch get the result of the new one.
    if (!isLatest()) await this.#latest
  }
}
