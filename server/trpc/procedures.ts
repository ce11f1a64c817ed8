import { initTRPC } from '@trpc/server'
import { transformer } from '../../shared/transformer.js'
import { type Context, guardStateOf, isUnchanged } from './context.js'
import { formatError } from './errors.js'
import {
  awaitsInput,
  databaseOf,
  finishCall,
  finishGuardedCall,
  userOf,
  verifyAfterInput,
  verifyOldContext,
} from './require-user.js'

const t = initTRPC.context<Context>().create({ transformer, isDev: false, errorFormatter: formatError })

export const { router, createCallerFactory, mergeRouters } = t

/**
 * A procedure for everyone. `ctx.user` is the caller or null, and there is no `ctx.db`: read public data with your own
 * handle.
 */
export const publicProcedure = t.procedure.use(async ({ ctx, next, signal, type }) => {
  const result = await next()
  finishCall(ctx, result, { type, signal })
  return result
})

/**
 * A procedure for signed-in callers. `ctx.user` is a `User`, and `ctx.db` is a Kysely handle that reads and writes only the
 * rows of this user: PostgreSQL enforces it.
 *
 * @throws TRPCError UNAUTHORIZED with a reason if there is no valid token, SERVICE_UNAVAILABLE if the keys cannot be fetched
 */
export const protectedProcedure = t.procedure.use(async ({ ctx, next, signal, type, getRawInput }) => {
  // One middleware instead of three on top of `publicProcedure`: each costs more than finding a known token.
  await verifyOldContext(ctx)
  const state = guardStateOf(ctx)
  // Null because of an outage that is over. A null that the application has put there stays.
  const callerOf = () => (ctx.user === null && isUnchanged(ctx) ? state?.user : null) ?? userOf(ctx)
  callerOf()
  if (awaitsInput(ctx)) await verifyAfterInput(ctx, getRawInput)
  const user = callerOf()
  const db = databaseOf(ctx, user)
  if (db === null)
    throw new Error(
      'The context has a user but no database: pass database to createContextFactory, or use requireUser as the guard.',
    )
  return finishGuardedCall(ctx, await next({ ctx: { user, db } }), { type, signal })
})
