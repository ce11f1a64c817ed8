/** How often something may be done: at once as often as `burst` says, then once every `refill` milliseconds. */
export class TokenBucket {
  readonly #burst: number
  readonly #refill: number
  readonly #now: () => number
  #left: number
  #at: number

  constructor({ burst, refill, now }: { burst: number; refill: number; now: () => number }) {
    this.#burst = burst
    this.#refill = refill
    this.#now = now
    this.#left = burst
    this.#at = now()
  }

  take(): boolean {
    this.#fill()
    if (this.#left < 1) return false
    this.#left--
    return true
  }

  /** Milliseconds until it may be done again. */
  nextIn(): number {
    this.#fill()
    return this.#left >= 1 ? 0 : this.#at + this.#refill - this.#now()
  }

  #fill() {
    const filled = Math.floor((this.#now() - this.#at) / this.#refill)
    this.#left = Math.min(this.#burst, this.#left + filled)
    this.#at += filled * this.#refill
  }
}

const first = 1_000
const longest = 60_000
/** What an issuer may ask for: longer, and it has locked its own users out. */
const longestAsked = 15 * 60_000

/**
 * How long, in milliseconds, an issuer that fails is left alone: doubled with each failure from 1 to 60 seconds, half of it at random,
 * so that many servers do not come back at once; as long as it asks for, where that is longer, and 15 minutes at most.
 */
export function backOff(failures: number, asked: number | undefined, random = Math.random): number {
  const longestNow = Math.min(longest, first * 2 ** (failures - 1))
  const own = Math.max(first, longestNow * (0.5 + random() / 2))
  return Math.max(own, Math.min(asked ?? 0, longestAsked))
}
