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

const cancelRequest = 80_877_102
const patience = 5_000
const pauses = [50, 250]
const longestPause = 1_000

/**
 * Asks PostgreSQL to cancel what a connection runs (protocol, 55.2.8 Canceling Requests in Progress): on a connection of its
 * own, by the secret of the one that is meant, which works through PgBouncer too. One that overtakes its statement finds nothing
 * to cancel, and nobody says so: it asks again, each second in the end, until the statement is answered.
 *
 * @param answered resolves when the statement is answered, or nobody waits for it any more
 * @returns once the last request has ended: none can hit what the connection runs after that
 */
export async function cancelStatement(
  { host = '', port = 5432, processID, secretKey }: PoolClient & Partial<Backend>,
  answered: Promise<unknown>,
): Promise<void> {
  if (processID === undefined || secretKey === undefined) return
  const over = new AbortController()
  answered.finally(() => over.abort())
  for (let asked = 0; !over.signal.aborted; asked++) {
    await requestCancel({ host, port, processID, secretKey })
    await setTimeout(pauses[asked] ?? longestPause, undefined, { signal: over.signal }).catch(() => {})
  }
}

function requestCancel({ host, port, processID, secretKey }: Backend): Promise<void> {
  const request = Buffer.alloc(16)
  for (const [at, word] of [16, cancelRequest, processID, secretKey].entries())
    request.writeInt32BE(word, at * 4)
  const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
  // The server ends the connection: PgBouncer 1.18 falls over one that we have ended first.
  socket.setTimeout(patience, () => socket.destroy())
  return new Promise(done => {
    socket
      .on('error', () => {})
      .on('close', () => done())
      .resume()
      .write(request)
  })
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
