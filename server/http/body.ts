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
): Promise<string | Uint8Array<ArrayBuffer>> {
  const contentLength = Number(request.headers.get('content-length') ?? Number.NaN)
  if (contentLength > maxBytes) throw tooLarge(maxBytes)
  // HTTP/2 needs no length (RFC 9113 section 8.1.1) and has no transfer-encoding.
  const isAnnounced = request.headers.has('transfer-encoding') || (source.httpVersionMajor ?? 1) >= 2
  const isEmpty = contentLength === 0 || (Number.isNaN(contentLength) && !isAnnounced)
  const parsed = source === request ? undefined : source.body
  if (parsed !== undefined && isEmpty) return ''
  // What a parser of forms leaves cannot be turned back into a form. Express 4 sets {} where nothing was parsed.
  if (typeof parsed === 'string' || parsed instanceof Uint8Array || (isJson && parsed !== undefined))
    return parsedBody(parsed, maxBytes)
  if (request.bodyUsed || (source.readableDidRead && !isEmpty)) {
    const message =
      'The request body was already read and is not in req.body. Mount this handler before the body parser.'
    throw new TRPCError({ code: 'BAD_REQUEST', message })
  }
  return request.body === null ? '' : readStream(request.body, maxBytes)
}

function parsedBody(parsed: unknown, maxBytes: number): string | Uint8Array<ArrayBuffer> {
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

async function readStream(stream: ReadableStream<Uint8Array>, maxBytes: number) {
  // One growing buffer: an object for each chunk would cost a hundred times the body, if the caller sends it byte by byte.
  let body = new Uint8Array(16_384)
  let size = 0
  try {
    for await (const chunk of stream) {
      const end = size + chunk.byteLength
      if (end > maxBytes) throw tooLarge(maxBytes)
      if (end > body.length) {
        const larger = new Uint8Array(Math.min(maxBytes, Math.max(end, body.length * 2)))
        larger.set(body.subarray(0, size))
        body = larger
      }
      body.set(chunk, size)
      size = end
    }
  } catch (cause) {
    if (cause instanceof TRPCError) throw cause
    throw new TRPCError({
      code: 'CLIENT_CLOSED_REQUEST',
      message: 'The client closed the request before the end of its body.',
      cause,
    })
  }
  return body.subarray(0, size)
}

function tooLarge(maxBytes: number): TRPCError {
  const limit = maxBytes % 1_048_576 === 0 ? `${maxBytes / 1_048_576} MB` : `${maxBytes} bytes`
  const message = `The request body is larger than ${limit}. Send less at once.`
  return new TRPCError({ code: 'PAYLOAD_TOO_LARGE', message })
}
