import type { IncomingMessage } from 'node:http'
import { TRPCError } from '@trpc/server'

/** What is used of Node's request. `body` is what a body parser of the host has read; `readableDidRead` says that the stream was read. */
export interface BodySource {
  body?: unknown
  readableDidRead?: boolean
  httpVersionMajor?: number
}

const bodyTypes = new Set(['application/json', 'multipart/form-data', 'application/octet-stream'])

/**
 * The request as tRPC reads it. The body of a POST is complete: it comes from the stream, or from a body parser of the host (`req.body`).
 * Other methods have no content type, because tRPC would look for a body.
 *
 * @param maxBytes the longest body
 * @throws TRPCError PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, BAD_REQUEST if the body was read and is not in `req.body`
 */
export async function readRequest(request: Request, source: BodySource, maxBytes: number): Promise<Request> {
  const { url, method, headers, signal } = request
  const type = headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (method !== 'POST') {
    if (type === undefined) return request
    const rest = [...headers].filter(([name]) => name !== 'content-type')
    return new Request(url, { method, headers: rest, signal })
  }
  if (type === undefined || !bodyTypes.has(type)) {
    const message =
      'Send JSON, with content-type: application/json. A procedure may also take multipart/form-data or application/octet-stream.'
    throw new TRPCError({ code: 'UNSUPPORTED_MEDIA_TYPE', message })
  }
  const body = await readBody(request, source, { maxBytes, isJson: type === 'application/json' })
  return new Request(url, { method, headers, signal, body })
}

async function readBody(
  request: Request,
  source: BodySource,
  { maxBytes, isJson }: { maxBytes: number; isJson: boolean },
): Promise<Body> {
  const contentLength = Number(request.headers.get('content-length') ?? Number.NaN)
  if (contentLength > maxBytes) throw tooLarge(maxBytes)
  // HTTP/2 needs no length (RFC 9113 section 8.1.1) and has no transfer-encoding.
  const isAnnounced = request.headers.has('transfer-encoding') || (source.httpVersionMajor ?? 1) >= 2
  const isEmpty = contentLength === 0 || (Number.isNaN(contentLength) && !isAnnounced)
  const parsed = source === request ? undefined : source.body
  const readableDidRead = request.bodyUsed || source.readableDidRead
  const given = givenBody({ body: parsed, readableDidRead }, { maxBytes, isEmpty, isJson })
  if (given !== undefined) return given
  return request.body === null ? '' : readStream(request.body, maxBytes)
}

type Body = string | Uint8Array<ArrayBuffer>

/**
 * The body that a parser of the host has read; undefined if it is still in the stream.
 *
 * @throws TRPCError PAYLOAD_TOO_LARGE, BAD_REQUEST if the body was read and is not in `req.body`
 */
export function givenBody(
  { body, readableDidRead }: BodySource,
  { maxBytes, isEmpty, isJson }: { maxBytes: number; isEmpty: boolean; isJson: boolean },
): Body | undefined {
  if (body !== undefined && isEmpty) return ''
  // What a parser of forms leaves cannot be turned back into a form. Express 4 sets {} where nothing was parsed.
  if (typeof body === 'string' || body instanceof Uint8Array || (isJson && body !== undefined))
    return parsedBody(body, maxBytes)
  if (!readableDidRead || isEmpty) return undefined
  const message =
    'The request body was already read and is not in req.body. Mount this handler before the body parser.'
  throw new TRPCError({ code: 'BAD_REQUEST', message })
}

function parsedBody(parsed: unknown, maxBytes: number): Body {
  const body =
    typeof parsed === 'string'
      ? parsed
      : parsed instanceof Uint8Array
        ? new Uint8Array(parsed)
        : jsonOf(parsed)
  if (body.length > maxBytes) throw tooLarge(maxBytes)
  return body
}

/** Nested too deeply, it is a mistake of the caller. */
function jsonOf(parsed: unknown): string {
  try {
    return JSON.stringify(parsed)
  } catch (cause) {
    throw new TRPCError({ code: 'BAD_REQUEST', message: 'The body cannot be read.', cause })
  }
}

/**
 * The body of a request of Fetch.
 *
 * @throws TRPCError PAYLOAD_TOO_LARGE, CLIENT_CLOSED_REQUEST
 */
async function readStream(stream: AsyncIterable<Uint8Array>, maxBytes: number) {
  const body = new GrowingBody(maxBytes)
  try {
    for await (const chunk of stream) body.append(chunk)
  } catch (cause) {
    throw cause instanceof TRPCError ? cause : closedTooEarly(cause)
  }
  return body.bytes()
}

/** The body of a request of Node, without the promise that a loop over its stream makes for each chunk. */
export function readIncoming(req: IncomingMessage, maxBytes: number): Promise<Body> {
  return new Promise((done, fail) => {
    if (req.destroyed) return fail(closedTooEarly())
    const body = new GrowingBody(maxBytes)
    const append = (chunk: Uint8Array | string) => {
      try {
        // A middleware may have set an encoding.
        body.append(typeof chunk === 'string' ? Buffer.from(chunk, req.readableEncoding ?? 'utf8') : chunk)
      } catch (error) {
        fail(error)
      }
    }
    req
      .on('data', append)
      .once('end', () => done(body.bytes()))
      .once('error', cause => fail(closedTooEarly(cause)))
      .once('close', () => fail(closedTooEarly()))
      // It may have been paused before.
      .resume()
  })
}

/** One growing buffer: an object for each chunk would cost a hundred times the body, if the caller sends it byte by byte. */
class GrowingBody {
  #buffer = new Uint8Array(0)
  #size = 0

  constructor(readonly maxBytes: number) {}

  append(chunk: Uint8Array): void {
    const end = this.#size + chunk.byteLength
    if (end > this.maxBytes) throw tooLarge(this.maxBytes)
    if (end > this.#buffer.length) {
      const larger = new Uint8Array(Math.min(this.maxBytes, Math.max(end, this.#buffer.length * 2)))
      larger.set(this.#buffer.subarray(0, this.#size))
      this.#buffer = larger
    }
    this.#buffer.set(chunk, this.#size)
    this.#size = end
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#size)
  }
}

const closedTooEarly = (cause?: unknown) =>
  new TRPCError({
    code: 'CLIENT_CLOSED_REQUEST',
    message: 'The client closed the request before the end of its body.',
    cause,
  })

function tooLarge(maxBytes: number): TRPCError {
  const limit = maxBytes % 1_048_576 === 0 ? `${maxBytes / 1_048_576} MB` : `${maxBytes} bytes`
  const message = `The request body is larger than ${limit}. Send less at once.`
  return new TRPCError({ code: 'PAYLOAD_TOO_LARGE', message })
}
