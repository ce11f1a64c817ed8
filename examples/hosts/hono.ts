import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { createFetchHandler, type HandlerOptions } from 'trpc-bearer/server'

/** A Hono application with the API under `/trpc`. */
export function createApp(options: HandlerOptions) {
  const handler = createFetchHandler(options)
  const app = new Hono()
  app.use('/trpc/*', cors({ origin: 'https://app.example.com' }))
  app.all('/trpc/*', c => handler(c.req.raw))
  return app
}
