import { isObservable, observableToAsyncIterable } from '@trpc/server/observable'
import type { TokenExpiry } from './context.js'

const checkEveryMs = 15_000

/**
 * Ends a stream or subscription when the token of its caller is refused: it has expired, or was revoked. The token is verified again every
 * 15 seconds, and each second after its `exp` until the tolerance for clocks is over.
 *
 * @param data what a procedure returned; anything but a stream is returned as it is
 * @param verify rejects with the error that the stream shall end with
 */
export function endWithToken(
  data: unknown,
  {
    verify,
    expiry,
    signal,
  }: { verify: () => Promise<void>; expiry: TokenExpiry; signal: AbortSignal | undefined },
): unknown {
  if (isObservable(data))
    return endIterable(
      observableToAsyncIterable(data, signal ?? new AbortController().signal),
      verify,
      expiry,
    )
  return isAsyncIterable(data) ? endIterable(data, verify, expiry) : data
}

/** Whether {@link endWithToken} has something to do. */
export const isStream = (data: unknown): boolean => isObservable(data) || isAsyncIterable(data)

const isAsyncIterable = (data: unknown): data is AsyncIterable<unknown> =>
  typeof data === 'object' && data !== null && Symbol.asyncIterator in data

async function* endIterable(
  stream: AsyncIterable<unknown>,
  verify: () => Promise<void>,
  expiry: TokenExpiry,
): AsyncGenerator {
  let timer: ReturnType<typeof setTimeout> | undefined
  let refusal: { error: unknown } | undefined
  let closed = false
  // Of the value that is waited for. One promise for the whole stream would keep every value until its end, by Promise.race.
  let refuse = (_: unknown) => {}
  const schedule = () => {
    // The consumer may have left while the token was verified.
    if (closed) return
    const wait = Math.min(checkEveryMs, Math.max(1_000, expiry() - Date.now()))
    timer = setTimeout(
      () =>
        verify().then(schedule, error => {
          refusal = { error }
          refuse(error)
        }),
      wait,
    )
  }
  schedule()
  const iterator = stream[Symbol.asyncIterator]()
  try {
    for (;;) {
      const { done, value } = await new Promise<IteratorResult<unknown>>((resolve, reject) => {
        refuse = reject
        if (refusal !== undefined) reject(refusal.error)
        else Promise.resolve(iterator.next()).then(resolve, reject)
      })
      if (done) return value
      yield value
    }
  } finally {
    closed = true
    clearTimeout(timer)
    // Not awaited: a stream that waits for its next value would keep the caller here.
    Promise.resolve(iterator.return?.()).catch(() => {})
  }
}
