import { setMaxListeners } from 'node:events'
import { connect } from 'node:net'
import type { PoolClient } from 'pg'

interface Backend {
  host: string
  port: number
  processID: number
  secretKey: number
}

const cancelRequest = 80_877_102
const patience = 5_000

/**
 * Asks PostgreSQL to cancel what a connection runs (protocol, 55.2.8 Canceling Requests in Progress): on a connection of its
 * own, by the secret of the one that is meant, which works through PgBouncer too. Nobody answers, and it may come too late.
 */
export function cancelStatement(client: PoolClient & Partial<Backend>): void {
  const { host = '', port = 5432, processID, secretKey } = client
  if (processID === undefined || secretKey === undefined) return
  const request = Buffer.alloc(16)
  for (const [at, word] of [16, cancelRequest, processID, secretKey].entries())
    request.writeInt32BE(word, at * 4)
  const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
  // The server ends the connection: PgBouncer 1.18 falls over one that we have ended first.
  socket.setTimeout(patience, () => socket.destroy())
  socket
    .on('error', () => {})
    .resume()
    .write(request)
}

/** The work, or at once the reason of an abort: then what runs is asked to stop. */
export function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  stop: () => void,
): Promise<T> {
  if (signal === undefined) return work
  work.catch(() => {})
  // All statements of a batch wait for the one signal of their request: Node takes more than ten for a leak.
  setMaxListeners(0, signal)
  return new Promise((done, fail) => {
    const abort = () => {
      stop()
      fail(signal.reason)
    }
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    work.finally(() => signal.removeEventListener('abort', abort)).then(done, fail)
  })
}
