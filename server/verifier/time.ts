/** Thrown by {@link withTimeout}. */
export class TimeoutError extends Error {
  override name = 'TimeoutError'
}

/**
 * Waits for a promise, in milliseconds. Some runtimes (Cloudflare Workers) stop work when the request that started it ends, and its
 * promise then never settles.
 *
 * @throws TimeoutError
 */
export async function withTimeout<T>(promise: Promise<T>, milliseconds: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TimeoutError(`No result within ${milliseconds} ms.`)), milliseconds)
  })
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer))
}

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
