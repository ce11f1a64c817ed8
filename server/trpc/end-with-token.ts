import * as trpc from '@trpc/server/observable'
import { isObservable } from '@trpc/server/observable'
import type { TokenExpiry } from './context.js'
import { requireTrpc } from './trpc-version.js'

const observableToAsyncIterable = requireTrpc(trpc.observableToAsyncIterable)

const checkEveryMs = 15_000
const abortAfterMs = 1_000

interface EndOptions {
  /** Rejects with the error that the stream shall end with. */
  verify: () => Promise<void>
  expiry: TokenExpiry
  /** Aborts the signal of the procedure, which may wait for its next value. */
  abort: ((reason: unknown) => void) | undefined
}

/**
 * Ends a stream or subscription when the token of its caller is refused: it has expired, or was revoked. The token is verified again every
 * 15 seconds, and each second after its `exp` until the tolerance for clocks is over.
 *
 * @param data what a procedure returned; anything but a stream is returned as it is
 */
export function endWithToken(
  data: unknown,
  { signal, ...options }: EndOptions & { signal: AbortSignal | undefined },
): unknown {
  // It is subscribed to when it is read, because tRPC does not read what it cannot answer with.
  if (isObservable(data))
    return endIterable(() => observableToAsyncIterable(data, signal ?? new AbortController().signal), options)
  return isAsyncIterable(data) ? endIterable(() => data, options) : data
}

/** Whether {@link endWithToken} has something to do. */
export const isStream = (data: unknown): boolean => isObservable(data) || isAsyncIterable(data)

const isAsyncIterable = (data: unknown): data is AsyncIterable<unknown> =>
  typeof data === 'object' && data !== null && Symbol.asyncIterator in data

async function* endIterable(
  open: () => AsyncIterable<unknown>,
  { verify, expiry, abort }: EndOptions,
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
  const iterator = open()[Symbol.asyncIterator]()
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
    // Such a stream ends only by its signal. The error is sent first.
    if (refusal !== undefined && abort !== undefined) setTimeout(abort, abortAfterMs, refusal.error)
  }
}
