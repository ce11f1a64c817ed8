/** A token bucket: allows `burst` actions at once, and then one more every `refill` milliseconds. */
export class TokenBucket {
  readonly #burst: number
  readonly #refill: number
  readonly #now: () => number
  #left: number
  #filledAt: number

  constructor({ burst, refill, now }: { burst: number; refill: number; now: () => number }) {
    this.#burst = burst
    this.#refill = refill
    this.#now = now
    this.#left = burst
    this.#filledAt = now()
  }

  take(): boolean {
    this.#fill()
    if (this.#left < 1) return false
    this.#left--
    return true
  }

  /** Milliseconds until the next action is allowed. */
  nextIn(): number {
    this.#fill()
    return this.#left >= 1 ? 0 : this.#filledAt + this.#refill - this.#now()
  }

  #fill() {
    const filled = Math.floor((this.#now() - this.#filledAt) / this.#refill)
    this.#left = Math.min(this.#burst, this.#left + filled)
    this.#filledAt += filled * this.#refill
  }
}

const minBackOff = 1_000
const maxBackOff = 60_000
/** With a longer Retry-After the issuer would lock its own users out. */
const maxRetryAfter = 15 * 60_000

/**
 * Milliseconds until a failing issuer is asked again. Doubles with each failure from 1 to 60 seconds, with half of it random, so that
 * many servers do not return at once. A longer `Retry-After` counts, up to 15 minutes.
 */
export function backOff(failures: number, retryAfter: number | undefined, random = Math.random): number {
  const limit = Math.min(maxBackOff, minBackOff * 2 ** (failures - 1))
  const delay = Math.max(minBackOff, limit * (0.5 + random() / 2))
  return Math.max(delay, Math.min(retryAfter ?? 0, maxRetryAfter))
}
