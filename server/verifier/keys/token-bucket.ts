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
