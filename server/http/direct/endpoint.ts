import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { BodySource } from '../body.js'
import { Exchange, type HandlerSettings } from '../exchange.js'
import { requestIdOf } from '../request-target.js'
import { setAnswerHeaders } from '../response-headers.js'
import { type Answer, DirectAnswer, usualHeaders } from './answer.js'
import { type DirectRequest, directRequest, urlOf } from './direct-request.js'

/**
 * The tRPC endpoint for Node's requests, without the objects of Fetch: it answers as the Fetch endpoint does, byte for byte.
 *
 * @returns a function that is false if it leaves a request, untouched, to the Fetch endpoint. Headers of the host, such as those of CORS,
 * are sent along
 */
export function createDirectEndpoint(settings: HandlerSettings) {
  return function answer(
    req: IncomingMessage & BodySource,
    res: ServerResponse,
    hostHeaders?: OutgoingHttpHeaders,
  ): boolean {
    const request = directRequest(req, settings)
    if (request === null) return false
    const exchange = new Exchange(settings, requestIdOf(request.requestId), request.method)
    answerRequest(req, res, request, exchange, hostHeaders).catch(error => res.destroy(error))
    return true
  }
}

async function answerRequest(
  req: IncomingMessage & BodySource,
  res: ServerResponse,
  request: DirectRequest,
  exchange: Exchange,
  hostHeaders: OutgoingHttpHeaders | undefined,
): Promise<void> {
  const controller = new AbortController()
  const abort = () => {
    if (!res.writableFinished) controller.abort('Client connection prematurely closed.')
  }
  if (res.destroyed) abort()
  else res.once('close', abort)
  const failed = (cause: unknown): Answer => ({
    ...exchange.failedAnswer(cause),
    headers: new Headers({ 'content-type': 'application/json' }),
  })
  let answer = await new DirectAnswer(req, request, exchange, controller.signal).make().catch(failed)
  try {
    send(res, answer, exchange, hostHeaders)
  } catch (error) {
    // Node refuses headers that Fetch allows.
    answer = failed(error)
    send(res, answer, exchange, hostHeaders)
  }
  exchange.report(() => fetchRequestOf(req, request), answer.status)
}

const usual = recordOf(usualHeaders(), { requestId: '', method: 'GET', failures: [] })

function send(
  res: ServerResponse,
  { status, body, headers }: Answer,
  exchange: Exchange,
  hostHeaders: OutgoingHttpHeaders | undefined,
): void {
  // The caller has left, or a time-out of the application has answered.
  if (res.destroyed || res.headersSent) return
  const record: OutgoingHttpHeaders =
    headers === null && exchange.failures.length === 0
      ? { ...usual, 'x-request-id': exchange.requestId }
      : recordOf(headers ?? usualHeaders(), exchange)
  const length = Buffer.byteLength(body)
  res.writeHead(status, { ...record, ...hostHeaders, 'content-length': length })
  // Node sends the head together with a text, in the encoding of the text, and headers of the application are latin1.
  if (length === body.length) res.end(body, 'latin1')
  else res.end(Buffer.from(body))
}

function recordOf(...args: Parameters<typeof setAnswerHeaders>): OutgoingHttpHeaders {
  const [headers] = args
  setAnswerHeaders(...args)
  const { 'set-cookie': cookie, ...record } = Object.fromEntries(headers)
  return cookie === undefined ? record : { ...record, 'set-cookie': headers.getSetCookie() }
}

/** For `onAnswer`. Its body was read. */
function fetchRequestOf(req: IncomingMessage, request: DirectRequest): Request {
  const headers = new Headers()
  const { rawHeaders } = req
  for (let index = 0; index < rawHeaders.length; index += 2)
    headers.append(rawHeaders[index] ?? '', rawHeaders[index + 1] ?? '')
  return new Request(urlOf(req, request), { method: request.method, headers })
}
