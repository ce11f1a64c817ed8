import { TRPCError } from '@trpc/server'

/** Where a host's body parser leaves what it read, and Node's word on whether somebody has read the stream. */
export interface BodySource {
  body?: unknown
  readableDidRead?: boolean
}

const maxBytes = 1_048_576

const tooLarge = () => new TRPCError({ code: 'PAYLOAD_TOO_LARGE', message: 'A body has at most 1 MB.' })

/**
 * The body of a POST as text, null for other methods. Takes what a body parser in front has read (`req.body`).
 *
 * @throws TRPCError PAYLOAD_TOO_LARGE over 1 MB, BAD_REQUEST when somebody has read the body and kept it
 */
export async function readBody(request: Request, source: BodySource): Promise<string | null> {
  if (request.method !== 'POST') return null
  const announced = Number(request.headers.get('content-length') ?? Number.NaN)
  if (announced > maxBytes) throw tooLarge()
  const isEmpty = !(announced > 0) && !request.headers.has('transfer-encoding')
  if (source !== request && source.body !== undefined) return isEmpty ? '' : parsed(source.body)
  if (request.bodyUsed || (source.readableDidRead && !isEmpty)) {
    const message = 'The body has been read already: mount this handler before the body parser.'
    throw new TRPCError({ code: 'BAD_REQUEST', message })
  }
  return request.body === null ? '' : readStream(request.body)
}

function parsed(body: unknown): string {
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
    throw new TRPCError({ code: 'CLIENT_CLOSED_REQUEST', message: 'The body ended too early.', cause })
  }
  return decode(chunks)
}

function decode(chunks: Uint8Array[]): string {
  const decoder = new TextDecoder()
  return chunks.map(chunk => decoder.decode(chunk, { stream: true })).join('') + decoder.decode()
}
