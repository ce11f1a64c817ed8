import { loadOptional } from '../db/errors.js'
import type { Config } from './app/config.js'
import type { RunningServer } from './app/start.js'

export type { OpenDatabase } from '../db/open-database.js'
export type { Database } from '../db/schema.js'
export type { ErrorData, ErrorShape } from '../shared/error-data.js'
export type { AppRouter } from '../shared/router-types.js'
export type { Task } from '../shared/task.js'
export { type Config, ConfigError, readConfig } from './app/config.js'
export type { RunningServer } from './app/start.js'
export type { HandlerOptions } from './http/exchange.js'
export {
  createFetchHandler,
  createNodeHandler,
  type FastifyReplyLike,
  type FastifyRequestLike,
} from './http/handlers.js'
export type { RequestReport } from './http/request-report.js'
export { responseMeta } from './http/response-headers.js'
export { appRouter } from './routers/app.js'
export { tasksRouter } from './routers/tasks.js'
export {
  type ConnectionInfo,
  type Context,
  type ContextOptions,
  createContextFactory,
} from './trpc/context.js'
export { reasonOf } from './trpc/errors.js'
export {
  createCallerFactory,
  mergeRouters,
  protectedProcedure,
  publicProcedure,
  router,
} from './trpc/procedures.js'
export type { Refusal } from './trpc/refusal.js'
export { type GuardOptions, requireScope, requireUser, type UserGuard } from './trpc/require-user.js'
export * from './verifier/index.js'

/**
 * Starts what `npm start` runs: the API and, if not configured, its own Better Auth and PostgreSQL. A database or an issuer
 * that is not reachable yet is no error: `/readyz` reports it. Its packages are loaded when it is called, and not by a bundler.
 *
 * @throws ConfigError if the in-process issuer would listen on a network, PortError, DataDirInUseError, MissingPackageError
 * @example
 * const server = await startServer(readConfig({ PORT: '0' }))
 */
export async function startServer(config: Config): Promise<RunningServer> {
  const { start } = await loadOptional(
    import(/* webpackIgnore: true */ /* turbopackIgnore: true */ './app/start.js'),
    'startServer needs packages that are not installed: npm install hono @hono/node-server pino prom-client',
  )
  return start(config)
}
