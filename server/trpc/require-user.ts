import {
  initTRPC,
  type ProcedureType,
  type TRPCError,
  type TRPCProcedureBuilder,
  type TRPCUnsetMarker as Unset,
} from '@trpc/server'
import type { Kysely } from 'kysely'
import type { OpenDatabase } from '../../db/open-database.js'
import type { Database } from '../../db/schema.js'
import type { User } from '../../shared/user.js'
import { assertScopes, insufficientScope, type Scopes } from '../verifier/check-scope.js'
import { TokenError } from '../verifier/token-error.js'
import { countAnswer } from './batch-answer.js'
import { guardStateOf } from './context.js'
import { endWithToken, isStream } from './end-with-token.js'
import { refusalError, rethrowExpectedFailure } from './errors.js'

/** A guard for any `t`: `t.procedure.concat(requireUser())`. `Added` is what it adds to `ctx`. */
export type UserGuard<T, Added = { user: T }> = TRPCProcedureBuilder<
  { user: T | null },
  object,
  Added,
  Unset,
  Unset,
  Unset,
  Unset,
  false
>

/** Options of {@link requireUser}. */
export interface GuardOptions {
  /** What `openDatabase` returns: sets `ctx.db`, in which the user reads and writes only their own rows. */
  database: Pick<OpenDatabase, 'forUser'>
}

/**
 * The guard of `protectedProcedure` for your own `t`, with any context, transformer, meta and error formatter. It refuses a
 * call without a user and makes `ctx.user` non-null. The context needs `user: User | null`; if it contains the context of
 * `createContextFactory`, `reasonOf(error)` gives the reason of the refusal. Outages, timeouts and calls that the client has left
 * have the same codes as on `protectedProcedure`.
 *
 * With `{ database }` it also sets `ctx.db`. Without it `ctx.db` is set if the context came from a factory that had a database and has no
 * `db` of its own.
 *
 * @example
 * const protectedProcedure = t.procedure.concat(requireUser({ database }))
 */
export function requireUser<T = User>(): UserGuard<T>
export function requireUser<T extends User = User>(
  options: GuardOptions,
): UserGuard<T, { user: T; db: Kysely<Database> }>
export function requireUser<T>({ database }: Partial<GuardOptions> = {}): UserGuard<T> {
  const t = initTRPC.context<{ user: T | null }>().create()
  return t.procedure.use(async ({ ctx, next, getRawInput, signal, type }) => {
    await verifyOldContext(ctx)
    userOf(ctx)
    if (awaitsInput(ctx)) await verifyAfterInput(ctx, getRawInput)
    const user = userOf(ctx)
    // The overloads allow a database only with a user that has an id.
    const own = database?.forUser(user as User, { signal })
    const db = own ?? ('db' in ctx ? null : databaseOf(ctx, user as User))
    return finishGuardedCall(ctx, await next({ ctx: { user, ...(db && { db }) } }), { type, signal })
  })
}

/**
 * The user of a context, as the last verification returned it, unless the application has put another one there.
 *
 * @throws TRPCError UNAUTHORIZED or SERVICE_UNAVAILABLE with the reason, if there is no user
 */
export function userOf<T>(ctx: { user: T | null }): T {
  const { user } = ctx
  if (user === null || user === undefined)
    throw refusalError(guardStateOf(ctx)?.refusal ?? new TokenError('missing'))
  const state = guardStateOf(ctx)
  // The context holds what the verifier returned, so its type is that of the verifier.
  return user === state?.firstUser ? (state.user as T) : user
}

const maxContextAge = 1_000

/**
 * Verifies the token again after the input has arrived: tRPC's own adapters call a procedure while its body is on the way, and the sender
 * decides how long that takes.
 *
 * @throws TRPCError as {@link userOf}
 */
export async function verifyAfterInput(ctx: object, getRawInput: () => Promise<unknown>): Promise<void> {
  // A bad input is reported by the procedure that reads it.
  await getRawInput().catch(() => {})
  await verifyOldContext(ctx)
}

/** Whether a procedure can be called before its input is there. */
export const awaitsInput = (ctx: object): boolean => guardStateOf(ctx)?.isInputComplete !== true

/**
 * Verifies the token again if the context is older than a second; undefined if it is not. A context lives as long as its WebSocket
 * connection. Meanwhile the token may expire or be revoked, or the outage in which the context was made may end.
 *
 * @throws TRPCError as {@link userOf}
 */
export function verifyOldContext(ctx: object): Promise<void> | undefined {
  const state = guardStateOf(ctx)
  if (state?.verify === undefined || performance.now() - state.verifiedAt < maxContextAge) return undefined
  return verifyAgain(state.verify)
}

/** @throws TRPCError UNAUTHORIZED or SERVICE_UNAVAILABLE with the reason, if the token is refused now */
const verifyAgain = (verify: () => Promise<void>) =>
  verify().catch(error => {
    throw error instanceof TokenError ? refusalError(error) : error
  })

/**
 * The database in which a user reads and writes only their own rows; null if the context was made without one. The user may be somebody
 * whom the application has put into the context.
 */
export function databaseOf(ctx: object, user: User): Kysely<Database> | null {
  const state = guardStateOf(ctx)
  return user === state?.user ? state.db : (state?.forUser?.(user) ?? null)
}

type CallResult = { ok: true; data: unknown } | { ok: false; error: TRPCError }

/** Gives an expected failure its real code, and counts the answer in a batch. @throws TRPCError for these failures */
export function finishCall(
  ctx: object,
  result: CallResult,
  { type, signal }: { type: ProcedureType; signal: AbortSignal | undefined },
): void {
  const batch = guardStateOf(ctx)?.batch
  if (result.ok) handleRejections(result.data)
  if (!result.ok) rethrowExpectedFailure(result.error, signal)
  else if (batch !== undefined && type === 'query') countAnswer(batch, result)
}

/**
 * If an answer with promises is not streamed, tRPC answers an error and forgets them. A rejection that nobody handles would end the
 * process.
 */
function handleRejections(data: unknown): void {
  if (typeof data !== 'object' || data === null) return
  for (const value of Object.values(data)) if (value instanceof Promise) value.catch(() => {})
}

/** {@link finishCall}, and a stream ends when the token of its caller is refused. */
export function finishGuardedCall<T extends CallResult>(
  ctx: object,
  result: T,
  options: { type: ProcedureType; signal: AbortSignal | undefined },
): T {
  finishCall(ctx, result, options)
  const { verify, expiry, abort } = guardStateOf(ctx) ?? {}
  if (!result.ok || !isStream(result.data) || verify === undefined || expiry === undefined) return result
  return {
    ...result,
    data: endWithToken(result.data, {
      verify: () => verifyAgain(verify),
      expiry,
      abort,
      signal: options.signal,
    }),
  }
}

/**
 * {@link requireUser}, and `user.scope` (RFC 8693 section 4.2: scopes separated by spaces) must contain every scope given here.
 * Otherwise the call is FORBIDDEN with the reason `insufficient_scope` (RFC 6750 section 3.1).
 *
 * @throws TypeError if no scope is given, or one with spaces or quotes
 * @example
 * const editProcedure = protectedProcedure.concat(requireScope('tasks:write'))
 */
export function requireScope<T extends { scope?: string | undefined } = User>(
  ...scopes: Scopes
): UserGuard<T> {
  assertScopes(scopes)
  return requireUser<T>().use(({ ctx, next }) => {
    const refusal = insufficientScope(ctx.user, scopes)
    if (refusal !== undefined) throw refusalError(refusal)
    return next()
  })
}
