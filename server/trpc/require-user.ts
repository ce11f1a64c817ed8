import { initTRPC, TRPCError, type TRPCProcedureBuilder, type TRPCUnsetMarker as Unset } from '@trpc/server'
import type { User } from '../../shared/user.js'
import { TokenError } from '../verifier/token-error.js'
import { accessOf } from './context.js'

/** A guard that a foreign `t` takes with `t.procedure.concat(requireUser())`. */
export type UserGuard<T> = TRPCProcedureBuilder<
  { user: T | null },
  object,
  { user: T },
  Unset,
  Unset,
  Unset,
  Unset,
  false
>

/**
 * The guard of `protectedProcedure` for a `t` of your own, whatever its context, transformer, meta and error formatter are:
 * no user, no entry, and `ctx.user` is no longer null. The context needs a `user`; where `createContextFactory` made it (or
 * it is spread into yours) the refusal has its reason, which `reasonOf(error)` reads.
 *
 * @example
 * const protectedProcedure = t.procedure.concat(requireUser())
 */
export function requireUser<T = User>(): UserGuard<T> {
  const t = initTRPC.context<{ user: T | null }>().create()
  return t.procedure.use(({ ctx, next }) => next({ ctx: { user: userOf(ctx) } }))
}

/**
 * The user of a context.
 *
 * @throws TRPCError UNAUTHORIZED or SERVICE_UNAVAILABLE, with the reason, where there is none
 */
export function userOf<T>(ctx: { user: T | null }): T {
  const { user } = ctx
  if (user === null || user === undefined) throw refuse(accessOf(ctx)?.refusal ?? new TokenError('missing'))
  return user
}

const codes = { 401: 'UNAUTHORIZED', 403: 'FORBIDDEN', 503: 'SERVICE_UNAVAILABLE' } as const

/** What a procedure throws, with the refusal as its cause. */
export function refuse(refusal: TokenError): TRPCError {
  return new TRPCError({ code: codes[refusal.status], message: refusal.message, cause: refusal })
}
