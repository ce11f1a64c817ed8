import { initTRPC, TRPCError } from '@trpc/server'
import { isDatabaseUnavailable, isStatementTimeout } from '../../db/errors.js'
import { reasons } from '../../shared/reasons.js'
import { transformer } from '../../shared/transformer.js'
import { access, type Context } from './context.js'
import { formatError } from './error-shape.js'
import { userOf } from './require-user.js'

const t = initTRPC.context<Context>().create({ transformer, isDev: false, errorFormatter: formatError })

export const { router, createCallerFactory, mergeRouters } = t

/**
 * A procedure for everyone. `ctx.user` is the caller or null, and there is no database: what everybody may read, read
 * through a handle of your own.
 */
export const publicProcedure = t.procedure.use(async ({ next, signal }) => {
  const result = await next()
  if (!result.ok) throwExplained(result.error, signal)
  return result
})

/**
 * A procedure for signed-in callers: `ctx.user` is a `User`, and `ctx.db` is a Kysely handle on which the database itself
 * shows and changes the rows of this user alone.
 *
 * @throws TRPCError UNAUTHORIZED with a reason when there is no valid token, SERVICE_UNAVAILABLE when the keys cannot be had
 */
export const protectedProcedure = t.procedure.use(async ({ ctx, next, signal }) => {
  // In one step and not in three on top of `publicProcedure`: each costs more than knowing the token.
  const user = userOf(ctx)
  const { db } = ctx[access]
  if (db === null) throw new Error('A context with a user has a database.')
  const result = await next({ ctx: { user, db } })
  if (!result.ok) throwExplained(result.error, signal)
  return result
})

/** Throws what an error is where it is nobody's mistake: the caller has gone, the database is away, or it took too long. */
function throwExplained({ code, cause }: TRPCError, signal: AbortSignal | undefined): void {
  if (code !== 'INTERNAL_SERVER_ERROR') return
  if (signal?.aborted)
    throw new TRPCError({ code: 'CLIENT_CLOSED_REQUEST', message: 'The caller has gone.', cause })
  if (isDatabaseUnavailable(cause)) {
    throw new TRPCError({ code: 'SERVICE_UNAVAILABLE', message: reasons.database_unavailable, cause })
  }
  if (isStatementTimeout(cause)) {
    const message = 'This took longer than the server allows. Ask for less at once.'
    throw new TRPCError({ code: 'GATEWAY_TIMEOUT', message, cause })
  }
}
