/**
 * A clock that never goes back, in milliseconds: where the given one is set back it stands still once, and then goes on from there. How
 * long ago something was is right then, whatever time it is; and what counts for a while does not count for ever.
 */
export function steadyClock(now: () => number): () => number {
  let ahead = 0
  let latest = now()
  return () => {
    const time = now() + ahead
    if (time < latest) ahead += latest - time
    latest = Math.max(latest, time)
    return latest
  }
}
