import { createServer } from 'node:net'
import { listen } from './listen.js'

/** A server in the place of a PostgreSQL that does not work: the test answers the first message of each connection, and ends it. */
export async function fakePostgres(onConnection: (answer: (bytes: string | Buffer) => void) => void) {
  const server = await listen(
    createServer(socket => {
      socket.on('error', () => {})
      socket.once('data', () => onConnection(bytes => void socket.end(bytes)))
    }),
  )
  return { ...server, url: `postgres://somebody:secret@127.0.0.1:${server.port}/test` }
}
