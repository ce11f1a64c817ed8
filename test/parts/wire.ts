import { createServer, request as httpRequest } from 'node:http'
import type { Server, Socket } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { migrateToLatest, openDatabase } from '../../db/index.js'
import { createVerifier, readConfig, startServer } from '../../server/index.js'
import { emptyDatabase } from './database.js'

/** What {@link send} puts on the wire. Without a `content-length` among the headers a body goes out in chunks. */
export interface Sent {
  method?: string
  headers?: [name: string, value: string][]
  body?: string
}

/** One request exactly as said: fetch would tidy the path, join equal headers and set the `Host` itself. */
export function send(origin: string, path: string, { method = 'GET', headers = [], body }: Sent = {}) {
  const { hostname, port, host } = new URL(origin)
  const own = headers.some(([name]) => name.toLowerCase() === 'host') ? [] : [['host', host]]
  return new Promise<Response>((done, fail) => {
    const options = { hostname: hostname.replace(/[[\]]/g, ''), port, path, method, agent: false }
    const request = httpRequest({ ...options, headers: [...own, ...headers].flat() }, async message => {
      try {
        const chunks: Buffer[] = []
        for await (const chunk of message) chunks.push(chunk)
        const answer = new Headers()
        const { rawHeaders, statusCode: status = 0 } = message
        for (let i = 0; i < rawHeaders.length; i += 2)
          answer.append(rawHeaders[i] ?? '', rawHeaders[i + 1] ?? '')
        done(new Response(chunks.length === 0 ? null : Buffer.concat(chunks), { status, headers: answer }))
      } catch (error) {
        fail(error)
      }
    })
    request.once('error', fail).end(body)
  })
}

/** A JSON body with its headers. */
export function json(value: unknown): Required<Sent> {
  const body = JSON.stringify(value)
  const headers: Sent['headers'] = [
    ['content-type', 'application/json'],
    ['content-length', String(Buffer.byteLength(body))],
  ]
  return { method: 'POST', headers, body }
}

/** The header that carries a token. */
export const bearer = (token: string): [string, string] => ['authorization', `Bearer ${token}`]

/** Listens on a port that is free. */
export async function listen(server: Server) {
  const sockets = new Set<Socket>()
  server.on('connection', socket => sockets.add(socket))
  await new Promise<void>((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise(done => server.close(done))
    },
  }
}

/** A token otherwise than it should be. */
export interface TokenOptions {
  claims?: JWTPayload
  header?: { alg?: string; kid?: string; typ?: string }
  key?: CryptoKey
}

/** An issuer with a key of its own that signs whatever a test asks for, and that may be away or have no keys yet. */
export async function ownIssuer(state: 'up' | 'away' | 'without keys' = 'up') {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA')
  const keys = [{ ...(await exportJWK(publicKey)), kid: '1', alg: 'EdDSA' }]
  const now = { state }
  const server = createServer((request, response) => {
    if (now.state === 'away') request.socket.destroy()
    else response.end(JSON.stringify({ keys: now.state === 'up' ? keys : [] }))
  })
  const { url, [Symbol.asyncDispose]: dispose } = await listen(server)
  return {
    url,
    now,
    verifier: createVerifier({ issuer: url, audience: url, keys }),
    tokenFor(sub: string, { claims, header, key = privateKey }: TokenOptions = {}): Promise<string> {
      const seconds = Math.floor(Date.now() / 1000)
      return new SignJWT({ sub, iss: url, aud: url, iat: seconds, exp: seconds + 900, ...claims })
        .setProtectedHeader({ alg: 'EdDSA', kid: '1', ...header })
        .sign(key)
    },
    [Symbol.asyncDispose]: dispose,
  }
}

/** Nobody listens there, and nobody ever will: the port is too low. */
export const nowhere = 'postgres://nobody:hunter2@127.0.0.1:1/nothing'

/** The server with its issuer and its database elsewhere, as a team runs it: it starts at once, and asks for neither. */
export async function startRemote(issuer: { url: string }, env: Record<string, string> = {}) {
  const variables = { PORT: '0', LOG_LEVEL: 'silent', BETTER_AUTH_URL: issuer.url, DATABASE_URL: nowhere }
  const { url, close } = await startServer(readConfig({ ...variables, ...env }))
  return { url, close, [Symbol.asyncDispose]: close }
}

/** A PostgreSQL database of one's own with the schema in it. */
export async function migratedDatabase() {
  const database = await emptyDatabase()
  await migrate(database.url)
  return database
}

/** What `npm run migrate` does. */
export async function migrate(url: string): Promise<void> {
  const { admin: db, close } = await openDatabase({ url })
  await migrateToLatest(db)
  await close()
}
