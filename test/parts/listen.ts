import type { Server } from 'node:http'

/** Where a server that listens is reached. */
export function originOf(server: Server): string {
  const address = server.address()
  if (typeof address !== 'object' || address === null)
    throw new Error('The server does not listen on a port.')
  return `http://127.0.0.1:${address.port}`
}

/** Lets a server listen on a free port, until the scope ends that asked for it. */
export async function listen(server: Server) {
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  return {
    origin: originOf(server),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(done => server.close(done))
    },
  }
}
