import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createHttp2Server, type Http2ServerRequest } from 'node:http2'
import { connect, type Server } from 'node:net'
import type { createContextFactory } from '../../server/index.js'
import { listen } from './listen.js'

type Req = Parameters<ReturnType<typeof createContextFactory>>[0]['req']
type Headers = [name: string, value: string][]

/** Sends exactly these headers, also duplicates, and passes the request object of the host on. */
type Host = <T>(path: string, headers: Headers, use: (req: Req) => Promise<T>) => Promise<T>

async function exchange<Request, T>(
  server: Server,
  arrival: Promise<Request>,
  bytes: Buffer,
  use: (req: Request) => Promise<T>,
): Promise<T> {
  await using host = await listen(server)
  const socket = connect(host.port, '127.0.0.1').on('error', () => {})
  socket.write(bytes)
  socket.resume()
  try {
    return await use(await arrival)
  } finally {
    socket.destroy()
  }
}

function overHttp<T>(path: string, headers: Headers, use: (req: IncomingMessage) => Promise<T>): Promise<T> {
  const server = createServer()
  const arrival = new Promise<IncomingMessage>(done => server.once('request', done))
  const lines = [`GET ${path} HTTP/1.1`, 'Host: localhost', ...headers.map(pair => pair.join(': ')), '', '']
  return exchange(server, arrival, Buffer.from(lines.join('\r\n')), use)
}

/** RFC 7541 section 5: a string without Huffman coding. */
function hpackText(text: string): Buffer {
  const bytes = Buffer.from(text)
  const more = (rest: number): number[] => (rest < 128 ? [rest] : [(rest % 128) + 128, ...more(rest >> 7)])
  const length = bytes.length < 127 ? [bytes.length] : [127, ...more(bytes.length - 127)]
  return Buffer.concat([Buffer.from(length), bytes])
}

/** RFC 9113 section 4.1. */
function http2Frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

function overHttp2<T>(
  path: string,
  headers: Headers,
  use: (req: Http2ServerRequest) => Promise<T>,
): Promise<T> {
  const server = createHttp2Server()
  const arrival = new Promise<Http2ServerRequest>(done => server.once('request', done))
  const fields: Headers = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':authority', 'localhost'],
    [':path', path],
  ]
  const block = [...fields, ...headers].map(([name, value]) =>
    Buffer.concat([Buffer.from([0]), hpackText(name.toLowerCase()), hpackText(value)]),
  )
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  const settings = http2Frame(4, 0, 0, Buffer.alloc(0))
  const endOfHeadersAndStream = 5
  const request = http2Frame(1, endOfHeadersAndStream, 1, Buffer.concat(block))
  return exchange(server, arrival, Buffer.concat([preface, settings, request]), use)
}

function asFetch<T>(path: string, headers: Headers, use: (req: Request) => Promise<T>): Promise<T> {
  const request = new Request(new URL(path, 'http://localhost'))
  for (const [name, value] of headers) request.headers.append(name, value)
  return use(request)
}

export const requestHosts: [name: string, host: Host][] = [
  ['node:http', overHttp],
  ['Fastify', (path, headers, use) => overHttp(path, headers, raw => use({ raw }))],
  ['http2', overHttp2],
  ['Fetch', asFetch],
]
