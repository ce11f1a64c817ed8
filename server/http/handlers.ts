import type { IncomingMessage, ServerResponse } from 'node:http'
import { loadOptional } from '../../db/errors.js'
import { createDirectEndpoint } from './direct/endpoint.js'
import { type HandlerOptions, settingsOf } from './exchange.js'
import { createFetchEndpoint } from './fetch-endpoint.js'

/**
 * The tRPC endpoint as a Fetch handler, for Hono, Next.js, Bun, Deno and edge runtimes. It works under its `basePath` and
 * where the host has removed that prefix. A request whose body was already read is refused (400).
 *
 * @example
 * app.all('/trpc/*', c => handler(c.req.raw))
 */
export function createFetchHandler(options: HandlerOptions): (request: Request) => Promise<Response> {
  const endpoint = createFetchEndpoint(settingsOf(options))
  return request => endpoint(request)
}

/** The part of Fastify's request that is used. */
export interface FastifyRequestLike {
  raw: IncomingMessage
  body?: unknown
}

/** The part of Fastify's reply that is used. */
export interface FastifyReplyLike {
  raw: ServerResponse
  hijack(): unknown
  getHeaders(): Record<string, number | string | string[] | undefined>
}

/**
 * The tRPC endpoint as a Node handler, for node:http, Express, Connect, Nest and Fastify. After a body parser it uses `req.body`.
 *
 * @example
 * app.use('/trpc', createNodeHandler({ verifier, database })) // Express
 * app.all('/trpc/*', createNodeHandler({ verifier, database })) // Fastify
 */
export function createNodeHandler(
  options: HandlerOptions,
): (req: IncomingMessage | FastifyRequestLike, res: ServerResponse | FastifyReplyLike) => void {
  const settings = settingsOf(options)
  const direct = createDirectEndpoint(settings)
  const endpoint = createFetchEndpoint(settings)
  const listener = loadOptional(
    import(/* webpackIgnore: true */ /* turbopackIgnore: true */ '@hono/node-server'),
    'createNodeHandler needs packages that are not installed: npm install hono @hono/node-server',
  ).then(({ getRequestListener }) =>
    getRequestListener((request, { incoming }) => endpoint(request, incoming), {
      overrideGlobalObjects: false,
      // For HTTP/1.0, where a request needs no Host.
      hostname: 'localhost',
    }),
  )
  return (givenReq, givenRes) => {
    const [req, res] = [nodeRequest(givenReq), nodeResponse(givenRes)]
    if (!direct(req, res)) listener.then(listen => listen(req, res)).catch(error => res.destroy(error))
  }
}

function nodeRequest(req: IncomingMessage | FastifyRequestLike): IncomingMessage {
  if (!('raw' in req)) return req
  return req.body === undefined ? req.raw : Object.assign(req.raw, { body: req.body })
}

/** Fastify sends nothing itself then. Headers that its plugins have set, such as those of CORS, are sent along. */
function nodeResponse(res: ServerResponse | FastifyReplyLike): ServerResponse {
  if (!('raw' in res)) return res
  for (const [name, value] of Object.entries(res.getHeaders()))
    if (value !== undefined) res.raw.setHeader(name, value)
  res.hijack()
  return res.raw
}
