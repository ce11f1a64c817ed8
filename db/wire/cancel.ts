import { setMaxListeners } from 'node:events'
import { connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import type { PoolClient } from 'pg'

interface Backend {
  host: string
  port: number
  processID: number
  secretKey: number
}

const cancelRequestCode = 80_877_102
const requestTimeout = 5_000
const retryDelays = [50, 250]
const maxRetryDelay = 1_000

/**
 * Asks PostgreSQL to cancel the running statement of a connection (PostgreSQL manual, 55.2.8 Canceling Requests in Progress). A
 * request that arrives before its statement does nothing, so it is repeated until the statement is answered.
 *
 * @param answered settles when the statement is answered, or when nobody waits for it any more
 * @returns when the last request has ended, so that none can hit a later statement
 */
export async function cancelStatement(
  { host = '', port = 5432, processID, secretKey }: PoolClient & Partial<Backend>,
  answered: Promise<unknown>,
): Promise<void> {
  if (processID === undefined || secretKey === undefined) return
  const stop = new AbortController()
  answered.finally(() => stop.abort())
  for (let attempt = 0; !stop.signal.aborted; attempt++) {
    await requestCancel({ host, port, processID, secretKey })
    await setTimeout(retryDelays[attempt] ?? maxRetryDelay, undefined, { signal: stop.signal }).catch(
      () => {},
    )
  }
}

function requestCancel({ host, port, processID, secretKey }: Backend): Promise<void> {
  const request = Buffer.alloc(16)
  for (const [index, word] of [16, cancelRequestCode, processID, secretKey].entries())
    request.writeInt32BE(word, index * 4)
  const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
  // The server closes the connection: PgBouncer 1.18 crashes if the client closes it first.
  socket.setTimeout(requestTimeout, () => socket.destroy())
  return new Promise(resolve => {
    socket
      .on('error', () => {})
      .on('close', () => resolve())
      .resume()
      .write(request)
  })
}

/** Waits for the work, or rejects with the signal's reason as soon as it aborts: then `stop` is called once. */
export function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  stop: () => void,
): Promise<T> {
  if (signal === undefined) return work
  work.catch(() => {})
  // All statements of a batch listen to the signal of their request: Node warns of a leak above ten.
  setMaxListeners(0, signal)
  return new Promise((resolve, reject) => {
    const abort = () => {
      stop()
      reject(signal.reason)
    }
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    work.finally(() => signal.removeEventListener('abort', abort)).then(resolve, reject)
  })
}
