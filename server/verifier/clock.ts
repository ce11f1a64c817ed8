/**
 * A clock in milliseconds that never goes back, for measuring ages: if the system clock is set back, this one continues from its last
 * value.
 */
export function monotonicClock(now: () => number): () => number {
  let offset = 0
  let latest = now()
  return () => {
    const time = now() + offset
    if (time < latest) offset += latest - time
    latest = Math.max(latest, time)
    return latest
  }
}
