/** Work that somebody else began was not done in time. */
export class LateError extends Error {
  override name = 'LateError'
}

/**
 * Waits for work that another request may have begun: some runtimes (Cloudflare's) end it with that request, and it never settles.
 *
 * @throws LateError
 */
export async function inTime<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new LateError('It takes too long.')), milliseconds)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
