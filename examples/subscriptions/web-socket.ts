import type { Server } from 'node:http'
import { applyWSSHandler } from '@trpc/server/adapters/ws'
import { type ContextOptions, createContextFactory } from 'trpc-bearer/server'
import { WebSocketServer } from 'ws'
import { liveRouter } from './router.js'

/** Serves the router by WebSocket on `/live` of an HTTP server. */
export function serveWebSocket(server: Server, options: ContextOptions) {
  const wss = new WebSocketServer({ server, path: '/live' })
  return applyWSSHandler({ wss, router: liveRouter, createContext: createContextFactory(options) })
}
