import { initTRPC, type ProcedureType, type TRPCError } from '@trpc/server'
import { transformer } from '../../shared/transformer.js'
import { countAnswer } from './batch-answer.js'
import { type Context, guardState, guardStateOf } from './context.js'
import { isStream } from './end-with-token.js'
import { formatError, rethrowExpectedFailure } from './errors.js'
import { userOf, verifyAfterInput, verifyOldContext, whileSignedIn } from './require-user.js'

const t = initTRPC.context<Context>().create({ transformer, isDev: false, errorFormatter: formatError })

export const { router, createCallerFactory, mergeRouters } = t

/**
 * A procedure for everyone. `ctx.user` is the caller or null, and there is no `ctx.db`: read public data with your own
 * handle.
 */
export const publicProcedure = t.procedure.use(async ({ ctx, next, signal, type }) => {
  const result = await next()
  finish(ctx, type, result, signal)
  return result
})

/** Gives an expected failure its real code, and counts the answer in a batch. */
function finish(
  ctx: Context,
  type: ProcedureType,
  result: { ok: true; data: unknown } | { ok: false; error: TRPCError },
  signal: AbortSignal | undefined,
): void {
  const batch = guardStateOf(ctx)?.batch
  if (!result.ok) rethrowExpectedFailure(result.error, signal)
  else if (batch !== undefined && type === 'query') countAnswer(batch, result.data)
}

/**
 * A procedure for signed-in callers. `ctx.user` is a `User`, and `ctx.db` is a Kysely handle that reads and writes only the
 * rows of this user: PostgreSQL enforces it.
 *
 * @throws TRPCError UNAUTHORIZED with a reason if there is no valid token, SERVICE_UNAVAILABLE if the keys cannot be fetched
 */
export const protectedProcedure = t.procedure.use(async ({ ctx, next, signal, type, getRawInput }) => {
  // One middleware instead of three on top of `publicProcedure`: each costs more than finding a known token.
  await verifyOldContext(ctx)
  const callerOf = () => (ctx.user === null ? guardStateOf(ctx)?.user : null) ?? userOf(ctx)
  callerOf()
  await verifyAfterInput(ctx, getRawInput)
  const user = callerOf()
  const { db } = ctx[guardState]
  if (db === null)
    throw new Error(
      'The context has a user but no database: pass database to createContextFactory, or use requireUser as the guard.',
    )
  const result = await next({ ctx: { user, db } })
  finish(ctx, type, result, signal)
  return result.ok && isStream(result.data)
    ? { ...result, data: whileSignedIn(ctx, result.data, signal) }
    : result
})
