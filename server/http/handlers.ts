import type { IncomingMessage, ServerResponse } from 'node:http'
import { loadOptional } from '../../db/errors.js'
import { createEndpoint, type HandlerOptions } from './endpoint.js'

/**
 * The tRPC endpoint as a Fetch handler, for Hono, Next.js, Bun, Deno and edge runtimes. It works under its `basePath` and
 * where the host has removed that prefix. A request whose body was already read is refused (400).
 *
 * @example
 * app.all('/trpc/*', c => handler(c.req.raw))
 */
export function createFetchHandler(options: HandlerOptions): (request: Request) => Promise<Response> {
  const endpoint = createEndpoint(options)
  return request => endpoint(request)
}

/**
 * The tRPC endpoint as a Node handler, for node:http, Express, Connect, and Fastify's raw requests. After a body parser it
 * uses `req.body`.
 *
 * @example
 * app.use('/trpc', createNodeHandler({ verifier, database }))
 */
export function createNodeHandler(
  options: HandlerOptions,
): (req: IncomingMessage, res: ServerResponse) => void {
  const endpoint = createEndpoint(options)
  const listener = loadOptional(
    import(/* webpackIgnore: true */ /* turbopackIgnore: true */ '@hono/node-server'),
    'createNodeHandler needs packages that are not installed: npm install hono @hono/node-server',
  ).then(({ getRequestListener }) =>
    getRequestListener((request, { incoming }) => endpoint(request, incoming), {
      overrideGlobalObjects: false,
    }),
  )
  return (req, res) => {
    listener.then(listen => listen(req, res)).catch(error => res.destroy(error))
  }
}
