import { TRPCError } from '@trpc/server'

/** `body` is what a body parser of the host has read; `readableDidRead` is Node's flag for a stream that was read. */
export interface BodySource {
  body?: unknown
  readableDidRead?: boolean
}

const maxBytes = 1_048_576

const tooLarge = () =>
  new TRPCError({
    code: 'PAYLOAD_TOO_LARGE',
    message: 'The request body is larger than 1 MB. Send less at once.',
  })

/**
 * The body of a POST as text, null for other methods. Uses `req.body` if a body parser of the host has read the body.
 *
 * @throws TRPCError PAYLOAD_TOO_LARGE over 1 MB, BAD_REQUEST if the body was read and is not in `req.body`
 */
export async function readBody(request: Request, source: BodySource): Promise<string | null> {
  if (request.method !== 'POST') return null
  const contentLength = Number(request.headers.get('content-length') ?? Number.NaN)
  if (contentLength > maxBytes) throw tooLarge()
  const isEmpty = !(contentLength > 0) && !request.headers.has('transfer-encoding')
  if (source !== request && source.body !== undefined) return isEmpty ? '' : textOf(source.body)
  if (request.bodyUsed || (source.readableDidRead && !isEmpty)) {
    const message = 'The request body was already read. Mount this handler before the body parser.'
    throw new TRPCError({ code: 'BAD_REQUEST', message })
  }
  return request.body === null ? '' : readStream(request.body)
}

function textOf(body: unknown): string {
  const text =
    typeof body === 'string' ? body : body instanceof Uint8Array ? decode([body]) : JSON.stringify(body)
  if (text.length > maxBytes) throw tooLarge()
  return text
}

async function readStream(stream: ReadableStream<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for await (const chunk of stream) {
      size += chunk.byteLength
      if (size > maxBytes) throw tooLarge()
      chunks.push(chunk)
    }
  } catch (cause) {
    if (cause instanceof TRPCError) throw cause
    throw new TRPCError({
      code: 'CLIENT_CLOSED_REQUEST',
      message: 'The client closed the request before the end of its body.',
      cause,
    })
  }
  return decode(chunks)
}

function decode(chunks: Uint8Array[]): string {
  const decoder = new TextDecoder()
  return chunks.map(chunk => decoder.decode(chunk, { stream: true })).join('') + decoder.decode()
}
