import type { Config } from './config.js'
import type { RunningServer } from './start.js'

export type { Answer } from './answer.js'
export { responseMeta } from './answer-headers.js'
export { type Config, ConfigError, readConfig } from './config.js'
export { type Context, type ContextOptions, createContextFactory } from './context.js'
export type { HandlerOptions } from './endpoint.js'
export { type ErrorData, reasonOf } from './errors.js'
export { createFetchHandler, createNodeHandler } from './handlers.js'
export { requireScope } from './require-scope.js'
export { requireUser } from './require-user.js'
export { type AppRouter, appRouter } from './routers/app.js'
export { tasksRouter } from './routers/tasks.js'
export { createCallerFactory, mergeRouters, protectedProcedure, publicProcedure, router } from './trpc.js'
export * from './verifier/index.js'

/**
 * Starts what `npm start` runs: the API, and where the configuration names none, a Better Auth and a PostgreSQL of its own.
 * Loads what it needs of Node when it is called.
 *
 * @throws ConfigError when the in-process issuer would listen on a network, PortError, DataDirInUseError, MissingPackageError. A database or an issuer that is not there yet is `/readyz`'s to tell.
 * @example
 * const server = await startServer(readConfig({ PORT: '0' }))
 */
export async function startServer(config: Config): Promise<RunningServer> {
  const { start } = await import('./start.js')
  return start(config)
}
