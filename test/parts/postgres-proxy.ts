import { connect, createServer, type Socket } from 'node:net'
import { listen } from './listen.js'
import { messageReader } from './postgres-messages.js'

/** A proxy in front of PostgreSQL that can record messages, hold them back and change answers. */
export async function startPostgresProxy(databaseUrl: string) {
  const target = new URL(databaseUrl)
  const ways = new Set<{ isSilent: boolean; held: Buffer[]; onward: Socket }>()
  let isClosed = false
  const proxy = {
    /** Types of the messages of clients, in order: P(arse), B(ind), E(xecute), S(ync), Q(uery) … */
    sent: '',
    /** Cancel requests that the server has received. */
    cancels: 0,
    /** Bytes of clients that are held back. */
    heldBack: 0,
    translate: (answer: Buffer): Buffer => answer,
    /** Drops all connections and accepts no new ones. */
    close() {
      isClosed = true
      for (const way of ways) way.onward.destroy()
    },
    /** Accepts connections again. */
    open() {
      isClosed = false
    },
    /** Stops forwarding on the open connections. */
    fallSilent() {
      for (const way of ways) way.isSilent = true
    },
    /** Forwards what was held back, and everything after it. */
    letGo() {
      for (const way of ways) {
        way.isSilent = false
        for (const bytes of way.held.splice(0)) way.onward.write(bytes)
      }
    },
  }
  const server = createServer(socket => {
    if (isClosed) return void socket.destroy()
    const onward = connect(Number(target.port || 5432), target.hostname.replace(/[[\]]/g, ''))
    const way = { isSilent: false, held: [] as Buffer[], onward }
    ways.add(way)
    const messagesOf = messageReader({ isClient: true })
    socket.on('data', (bytes: Buffer) => {
      for (const { type, bytes: message } of messagesOf(bytes)) {
        if (type !== 'startup') proxy.sent += type
        else if (message.readInt32BE(4) === cancelRequest) onward.once('close', () => proxy.cancels++)
      }
      if (!way.isSilent) onward.write(bytes)
      else {
        way.held.push(bytes)
        proxy.heldBack += bytes.length
      }
    })
    onward.on('data', (bytes: Buffer) => {
      if (!way.isSilent) socket.write(proxy.translate(bytes))
    })
    for (const [end, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      end.on('error', () => {}).once('close', () => other.destroy())
    }
  })
  const { port, [Symbol.asyncDispose]: dispose } = await listen(server)
  const url = new URL(databaseUrl)
  url.host = `127.0.0.1:${port}`
  return Object.assign(proxy, { url: url.href, [Symbol.asyncDispose]: dispose })
}

const cancelRequest = 80_877_102
