import { createServer } from 'node:net'
import type { Duplex } from 'node:stream'
import pg from 'pg'
import { listen } from './listen.js'
import { type Message, messageReader } from './postgres-messages.js'

/** What a pooler does wrong, or as badly as it may. */
export const poolerModes = [
  'pools transactions',
  'gives the server away at every ReadyForQuery',
  'splits the bytes anywhere, with each Sync in a segment of its own',
  'delays every message',
  'answers set_config itself',
  'drops connections',
] as const
export type PoolerMode = (typeof poolerModes)[number]

interface Server {
  socket: Duplex
  client: Client | null
  /** Answers of the pooler itself, each after as many CommandCompletes of the server. */
  forged: { after: number; bytes: Buffer }[]
  completed: number
}
interface Client {
  socket: Duplex
  server: Server | null
  /** Names of its statements that call `set_config`. */
  names: Set<string>
}

/**
 * A pooler with two connections to PostgreSQL that it gives to all of its clients. Its `mode` may change while it runs. It does not
 * know named statements, as PgBouncer before 1.21.
 */
export async function startHostilePooler(databaseUrl: string) {
  const pooler: { mode: PoolerMode } = { mode: 'pools transactions' }
  const free: Server[] = []
  const all = new Set<Server>()
  const waiting: { client: Client; messages: Message[] }[] = []

  const connectServer = async () => {
    const login = new pg.Client({ connectionString: databaseUrl })
    login.on('error', () => {})
    await login.connect()
    const socket = login.connection.stream
    for (const event of ['data', 'end', 'close']) socket.removeAllListeners(event)
    socket.on('error', () => {})
    const server: Server = { socket, client: null, forged: [], completed: 0 }
    const read = messageReader({ isClient: false })
    socket.on('data', (bytes: Buffer) => {
      for (const message of read(bytes)) answer(server, message)
    })
    all.add(server)
    socket.once('close', () => {
      all.delete(server)
      server.client?.socket.destroy()
      if (!isClosed) connectServer().catch(() => {})
    })
    release(server)
  }

  const release = (server: Server) => {
    if (server.client !== null) server.client.server = null
    server.client = null
    const next = waiting.shift()
    if (next === undefined) free.push(server)
    else send(server, next.client, next.messages)
  }

  const answer = (server: Server, { type, bytes }: Message) => {
    if (server.client !== null) write(server.client.socket, bytes)
    if (type === 'C') {
      server.completed++
      sendForged(server)
    }
    if (type !== 'Z') return
    const isInTransaction = String.fromCharCode(bytes[5] ?? 0) !== 'I'
    if (!isInTransaction || pooler.mode === 'gives the server away at every ReadyForQuery') release(server)
  }

  const sendForged = (server: Server) => {
    while (server.forged[0] && server.forged[0].after <= server.completed)
      server.client?.socket.write(server.forged.shift()?.bytes ?? '')
  }

  const send = (server: Server, client: Client, messages: Message[]) => {
    server.client = client
    client.server = server
    server.completed = 0
    server.forged = []
    const onward = pooler.mode === 'answers set_config itself' ? forge(server, client, messages) : messages
    sendForged(server)
    for (const { bytes } of onward) write(server.socket, bytes)
    if (pooler.mode === 'drops connections' && Math.random() < 0.1) {
      client.socket.destroy()
      server.socket.destroy()
    }
  }

  /** Takes out what sets the identity, and answers it as PostgreSQL would. */
  const forge = (server: Server, client: Client, messages: Message[]): Message[] => {
    let after = 0
    let values: string[] | null = null
    return messages.filter(({ type, bytes }) => {
      const say = (...answers: Buffer[]) => server.forged.push({ after, bytes: Buffer.concat(answers) })
      if (type === 'P') {
        const [name = '', text = ''] = bytes.toString('utf8', 5).split('\0')
        if (!text.includes('set_config')) {
          client.names.delete(name)
          return true
        }
        client.names.add(name)
        say(messageOf('1'))
        return false
      }
      if (type === 'B') {
        const bound = readBind(bytes)
        if (!client.names.has(bound.name)) return true
        values = bound.values
        say(messageOf('2'))
        return false
      }
      if (type === 'E') {
        if (values !== null) {
          const row = rowOf([...values, values[1] ?? ''])
          say(row, messageOf('C', 'SELECT 1\0'))
          values = null
          return false
        }
        after++
      }
      return true
    })
  }

  /** Writes of one socket, in order. */
  const writes = new WeakMap<Duplex, Promise<void>>()
  const write = (socket: Duplex, bytes: Buffer) => {
    const isSplit = pooler.mode.startsWith('splits')
    if (!isSplit && pooler.mode !== 'delays every message' && !writes.has(socket))
      return void socket.write(bytes)
    const pieces = isSplit ? piecesOf(bytes) : [bytes]
    const pause = () => new Promise<void>(done => setTimeout(done, Math.random() * 3))
    const written = (writes.get(socket) ?? Promise.resolve()).then(async () => {
      for (const piece of pieces) {
        await (Math.random() < 0.3 ? pause() : new Promise(setImmediate))
        socket.write(piece)
      }
    })
    writes.set(socket, written)
  }

  let isClosed = false
  await Promise.all([connectServer(), connectServer()])
  const proxy = createServer(socket => {
    socket.setNoDelay(true)
    const client: Client = { socket, server: null, names: new Set() }
    const read = messageReader({ isClient: true })
    let group: Message[] = []
    socket.on('data', (bytes: Buffer) => {
      for (const message of read(bytes)) {
        if (message.type === 'startup') {
          socket.write(greeting)
          continue
        }
        if (message.type === 'X') return void socket.end()
        group.push(message)
        if (message.type !== 'S' && message.type !== 'Q') continue
        const messages = group
        group = []
        const server = client.server ?? free.shift()
        if (server === undefined) waiting.push({ client, messages })
        else send(server, client, messages)
      }
    })
    socket
      .on('error', () => {})
      .once('close', () => {
        // As every pooler does: a server in the middle of something is not given to the next client.
        if (client.server !== null) client.server.socket.destroy()
      })
  })
  const { port, [Symbol.asyncDispose]: dispose } = await listen(proxy)
  const url = new URL(databaseUrl)
  url.host = `127.0.0.1:${port}`
  return Object.assign(pooler, {
    url: url.href,
    async [Symbol.asyncDispose]() {
      isClosed = true
      for (const server of all) server.socket.destroy()
      await dispose()
    },
  })
}

/** Pieces of 1 to 40 bytes. */
function piecesOf(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + Math.floor(Math.random() * 40)
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return pieces
}

const messageOf = (type: string, body: Buffer | string = '') => {
  const bytes = Buffer.from(body)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(bytes.length + 4, 1)
  return Buffer.concat([head, bytes])
}

const rowOf = (values: readonly string[]) => {
  const fields = values.flatMap(value => {
    const length = Buffer.alloc(4)
    length.writeInt32BE(Buffer.byteLength(value))
    return [length, Buffer.from(value)]
  })
  const count = Buffer.alloc(2)
  count.writeInt16BE(values.length)
  return messageOf('D', Buffer.concat([count, ...fields]))
}

function readBind(bytes: Buffer): { name: string; values: string[] } {
  let at = 5
  const text = () => {
    const end = bytes.indexOf(0, at)
    const found = bytes.toString('utf8', at, end)
    at = end + 1
    return found
  }
  text()
  const name = text()
  at += 2 + 2 * bytes.readInt16BE(at)
  const values: string[] = []
  const count = bytes.readInt16BE(at)
  at += 2
  for (let n = 0; n < count; n++) {
    const length = bytes.readInt32BE(at)
    at += 4
    values.push(bytes.toString('utf8', at, at + Math.max(length, 0)))
    at += Math.max(length, 0)
  }
  return { name, values }
}

const greeting = Buffer.concat([
  messageOf('R', Buffer.alloc(4)),
  messageOf('S', 'server_version\x0018.0\0'),
  messageOf('S', 'client_encoding\0UTF8\0'),
  messageOf('K', Buffer.alloc(8)),
  messageOf('Z', 'I'),
])
