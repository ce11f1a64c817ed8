import { once, setMaxListeners } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { ClientBase, PoolClient } from 'pg'

interface Backend {
  host: string
  port: number
  processID: number
  secretKey: number
  /** The options of the connection's TLS, or false. */
  ssl: ConnectionOptions | boolean
}

const cancelRequestCode = 80_877_102
const sslRequestCode = 80_877_103
const requestTimeout = 5_000
const repeatAfter = 250

/**
 * Asks PostgreSQL to cancel the running statement of a connection (PostgreSQL manual, 55.2.8 Canceling Requests in Progress), over TLS
 * if the connection has it. A request that arrives before its statement does nothing, so it is repeated once.
 *
 * @param answered settles when the statement is answered, or when nobody waits for it any more
 * @returns when the statement is answered and the last request has ended, so that none can hit a later statement
 */
export async function cancelStatement(
  { host = '', port = 5432, processID, secretKey, ssl = false }: PoolClient & Partial<Backend>,
  answered: Promise<unknown>,
): Promise<void> {
  if (processID === undefined || secretKey === undefined) return
  const backend = { host, port, processID, secretKey, ssl }
  const stop = new AbortController()
  answered.finally(() => stop.abort())
  await requestCancel(backend)
  await setTimeout(repeatAfter, undefined, { signal: stop.signal }).catch(() => {})
  if (!stop.signal.aborted) await requestCancel(backend)
  await answered
}

/** For a server that neither cancels statements nor answers the request: {@link cancelStatement} then sends none. */
export function neverCancel(client: ClientBase): void {
  Object.assign(client, { secretKey: undefined } satisfies Partial<Record<keyof Backend, undefined>>)
}

/** Resolves when the server has closed the connection: PgBouncer 1.18 crashes if the client closes it first. */
async function requestCancel({ host, port, processID, secretKey, ssl }: Backend): Promise<void> {
  const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
  socket.setTimeout(requestTimeout, () => socket.destroy())
  const closed = new Promise<void>(resolve => socket.on('error', () => {}).once('close', () => resolve()))
  const send = async () => {
    const stream = ssl === false ? socket : await secure(socket, host, ssl)
    stream.on('error', () => {}).resume()
    stream.write(message(cancelRequestCode, processID, secretKey))
  }
  await Promise.race([send().catch(() => socket.destroy()), closed])
  await closed
}

/** A message of the protocol before a session starts: its length, and numbers of four bytes. */
function message(...words: number[]): Buffer {
  const bytes = Buffer.alloc(4 + 4 * words.length)
  for (const [index, word] of [bytes.length, ...words].entries()) bytes.writeInt32BE(word, index * 4)
  return bytes
}

/** Asks for TLS (PostgreSQL manual, 55.2.11 SSL Session Encryption) with the options of the connection. @throws if there is none */
async function secure(socket: Socket, host: string, ssl: ConnectionOptions | true): Promise<Socket> {
  socket.write(message(sslRequestCode))
  const [answer]: Buffer[] = await once(socket, 'data')
  if (answer?.toString() !== 'S') throw new Error('The server does not support TLS.')
  const options = { ...(ssl === true ? {} : ssl), ...(isIP(host) ? {} : { servername: host }) }
  const stream = connectTls({ ...options, socket })
  await once(stream, 'secureConnect')
  return stream
}

/** Waits for the work, or rejects with the signal's reason as soon as it aborts: then `stop` is called once. */
export function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  stop: () => void,
): Promise<T> {
  if (signal === undefined) return work
  return new Promise((resolve, reject) => {
    const abort = () => {
      stop()
      reject(signal.reason)
    }
    work.finally(() => signal.removeEventListener('abort', abort)).then(resolve, reject)
    if (signal.aborted) return abort()
    // All statements of a batch listen to the signal of their request: Node warns of a leak above ten.
    setMaxListeners(0, signal)
    signal.addEventListener('abort', abort, { once: true })
  })
}
