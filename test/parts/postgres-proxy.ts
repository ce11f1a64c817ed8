import { connect, createServer, type Socket } from 'node:net'
import { listen } from './listen.js'

/** A way to a PostgreSQL on which a test listens, keeps silent, and says the answers otherwise. */
export async function startPostgresProxy(databaseUrl: string) {
  const target = new URL(databaseUrl)
  const ways = new Set<{ isSilent: boolean; held: Buffer[]; onward: Socket }>()
  const proxy = {
    /** Types of the messages that clients have sent, in their order: P(arse), B(ind), E(xecute), S(ync), Q(uery) … */
    sent: '',
    /** Cancel requests that have come and been answered. */
    cancels: 0,
    /** Bytes of clients that were held back. */
    heldBack: 0,
    translate: (answer: Buffer): Buffer => answer,
    /** Passes nothing on any more on the connections that stand. */
    fallSilent() {
      for (const way of ways) way.isSilent = true
    },
    /** Passes on what clients have sent meanwhile, and what comes. */
    letGo() {
      for (const way of ways) {
        way.isSilent = false
        for (const bytes of way.held.splice(0)) way.onward.write(bytes)
      }
    },
  }
  const server = createServer(socket => {
    const onward = connect(Number(target.port || 5432), target.hostname.replace(/[[\]]/g, ''))
    const way = { isSilent: false, held: [] as Buffer[], onward }
    ways.add(way)
    const messagesOf = messageReader()
    socket.on('data', (bytes: Buffer) => {
      for (const message of messagesOf(bytes)) {
        if (message === 'cancel') onward.once('close', () => proxy.cancels++)
        else proxy.sent += message
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

/** Reads the messages of a client in the bytes that come (protocol, 55.7 Message Formats). The first has no type. */
function messageReader() {
  let rest = Buffer.alloc(0)
  let isStarted = false
  return function* (bytes: Buffer) {
    rest = Buffer.concat([rest, bytes])
    for (;;) {
      const at = isStarted ? 1 : 0
      if (rest.length < at + 4) return
      const end = at + rest.readInt32BE(at)
      if (rest.length < end) return
      if (isStarted) yield rest.toString('latin1', 0, 1)
      else if (rest.readInt32BE(4) === cancelRequest) yield 'cancel'
      isStarted = true
      rest = rest.subarray(end)
    }
  }
}
