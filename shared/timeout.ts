/** Thrown by {@link withTimeout}. */
export class TimeoutError extends Error {
  override name = 'TimeoutError'
}

/**
 * Waits for a promise, in milliseconds. Some runtimes (Cloudflare Workers) stop work when the request that started it ends, and its
 * promise then never settles.
 *
 * @param message of the error
 * @throws TimeoutError
 */
export async function withTimeout<T>(
  promise: Promise<T>,
  milliseconds: number,
  message = `No result within ${milliseconds} ms.`,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TimeoutError(message)), milliseconds)
  })
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer))
}
