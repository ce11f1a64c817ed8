/** The time of the machine, in seconds since the epoch. */
export const seconds = () => Math.floor(Date.now() / 1000)

/** A clock that only a test moves. */
export function createClock(start = seconds()) {
  const clock = {
    /** Seconds since it was made. */
    at: 0,
    start,
    /** Milliseconds since the epoch: the option `now` of a verifier. */
    now: () => (start + clock.at) * 1000,
  }
  return clock
}
