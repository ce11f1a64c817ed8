import { createServer, type RequestListener } from 'node:http'
import type { Server, Socket } from 'node:net'

/** The origin of a server that listens on the loopback address. */
export function originOf(server: Server): string {
  return `http://127.0.0.1:${portOf(server)}`
}

function portOf(server: Server): number {
  const address = server.address()
  if (typeof address !== 'object' || address === null)
    throw new Error('The server does not listen on a port.')
  return address.port
}

/** Starts a server of any protocol on a port, by default a free one. */
export async function listen(server: Server, port = 0) {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((done, fail) => server.once('error', fail).listen(port, '127.0.0.1', done))
  const close = async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise<void>(done => server.close(() => done()))
  }
  return { url: originOf(server), port: portOf(server), close, [Symbol.asyncDispose]: close }
}

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  await using server = await listen(createServer())
  return server.port
}

/** Starts a web server with this listener, which counts its requests. */
export async function startWeb(listener: RequestListener, port = 0) {
  let requests = 0
  const server = createServer((req, res) => {
    requests++
    listener(req, res)
  })
  return { ...(await listen(server, port)), requests: () => requests }
}
