import { createHTTPServer } from '@trpc/server/adapters/standalone'
import { appRouter, type ContextOptions, createContextFactory, responseMeta } from 'trpc-bearer/server'

/** tRPC's standalone server, with the caller in the context and the headers that belong to a refusal. */
export function createApiServer(options: ContextOptions) {
  const createContext = createContextFactory(options)
  return createHTTPServer({ router: appRouter, createContext, responseMeta })
}
