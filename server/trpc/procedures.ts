import { initTRPC } from '@trpc/server'
import { transformer } from '../../shared/transformer.js'
import { type Context, guardState, guardStateOf } from './context.js'
import { formatError, rethrowExpectedFailure } from './errors.js'
import { userOf, verifyAfterInput, verifyOldContext } from './require-user.js'

const t = initTRPC.context<Context>().create({ transformer, isDev: false, errorFormatter: formatError })

export const { router, createCallerFactory, mergeRouters } = t

/**
 * A procedure for everyone. `ctx.user` is the caller or null, and there is no `ctx.db`: read public data with your own
 * handle.
 */
export const publicProcedure = t.procedure.use(async ({ next, signal }) => {
  const result = await next()
  if (!result.ok) rethrowExpectedFailure(result.error, signal)
  return result
})

/**
 * A procedure for signed-in callers. `ctx.user` is a `User`, and `ctx.db` is a Kysely handle that reads and writes only the
 * rows of this user: PostgreSQL enforces it.
 *
 * @throws TRPCError UNAUTHORIZED with a reason if there is no valid token, SERVICE_UNAVAILABLE if the keys cannot be fetched
 */
export const protectedProcedure = t.procedure.use(async ({ ctx, next, signal, getRawInput }) => {
  // One middleware instead of three on top of `publicProcedure`: each costs more than finding a known token.
  await verifyOldContext(ctx)
  const user = ctx.user ?? guardStateOf(ctx)?.user ?? userOf(ctx)
  await verifyAfterInput(ctx, getRawInput)
  const { db } = ctx[guardState]
  if (db === null)
    throw new Error('The context has a user but no database: create it with createContextFactory.')
  const result = await next({ ctx: { user, db } })
  if (!result.ok) rethrowExpectedFailure(result.error, signal)
  return result
})
