import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'

/** A request for {@link send}. A body without a `content-length` header is sent in chunks. */
export interface Sent {
  method?: string
  headers?: [name: string, value: string][]
  body?: string
}

/** Sends one request as given. `fetch` would normalize the path, merge equal headers and set `Host` itself. */
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

/** An answer to {@link sendBytes}, exactly as received. */
export interface RawAnswer {
  status: number
  headers: Headers
  body: string
}

/** Sends raw bytes on a new connection and reads until the server closes it. */
export const sendBytes = async (origin: string, bytes: string): Promise<RawAnswer> =>
  parseAnswer(await exchangeBytes(origin, Buffer.from(bytes, 'latin1')))

/** The same, and the answer as text of latin1. */
export function exchangeBytes(origin: string, bytes: Buffer): Promise<string> {
  const { hostname, port } = new URL(origin)
  return new Promise((done, fail) => {
    const chunks: Buffer[] = []
    const socket = connect(Number(port), hostname)
    socket.on('data', chunk => chunks.push(chunk)).on('error', fail)
    // A server that refuses a request may close the connection before it has read everything.
    socket.on('close', () => done(Buffer.concat(chunks).toString('latin1')))
    socket.write(bytes)
  })
}

function parseAnswer(text: string): RawAnswer {
  const [head = '', ...body] = text.split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const headers = new Headers()
  for (const line of lines)
    headers.append(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1))
  return { status: Number(first.split(' ')[1]), headers, body: body.join('\r\n\r\n') }
}
