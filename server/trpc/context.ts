import { decodeJwt } from 'jose'
import type { Kysely } from 'kysely'
import type { OpenDatabase } from '../../db/open-database.js'
import type { Database } from '../../db/schema.js'
import { callHook } from '../../shared/error-handling.js'
import type { User } from '../../shared/user.js'
import { bearerToken, type RequestLike } from '../verifier/bearer-token.js'
import type { Verifier } from '../verifier/create-verifier.js'
import { TokenError } from '../verifier/token-error.js'
import { type BatchAnswer, emptyBatchAnswer } from './batch-answer.js'
import { type Refusal, reportedRefusal, warnOnce } from './refusal.js'

/**
 * Key of the guards' own data in a context. It is a symbol so that no procedure reaches the database without a guard, and the same one in
 * two copies of the package. No type has it, because TypeScript could not declare the type of a context that is exported.
 */
const guardState = Symbol.for('trpc-bearer.guard')

/** Milliseconds since the epoch, by the `exp` of a verified token. */
export type TokenExpiry = () => number

interface GuardState {
  /** Why the context was made without a user; null if it has one. */
  refusal: TokenError | null
  /** The caller by the last verification; null if none has succeeded. */
  user: User | null
  /** The caller when the context was made. */
  firstUser: unknown
  /** Whether the whole body had arrived when the context was made. */
  isInputComplete: boolean
  /** Undefined if the request has only one call. */
  batch: BatchAnswer | undefined
  /** The scoped database of `user`; null if there is no user. */
  db: Kysely<Database> | null
  /** The scoped database of somebody whom the application has put into the context. Undefined without a database. */
  forUser?: (user: User) => Kysely<Database>
  requestId: string
  /** Verifies the token again; undefined if it is refused for good. A closure, so that no log of a context prints the token. */
  verify?: () => Promise<void>
  /** When the token expires. Undefined without a token. */
  expiry?: TokenExpiry
  /** Aborts the signal of the procedures. Undefined if the adapter has no way to do it. */
  abort?: ((reason: unknown) => void) | undefined
  /** When the token was last verified, or refused because of an outage, by `performance.now()`. */
  verifiedAt: number
}

/** Context of every procedure. It also carries the guards' own data, which is copied with it (`{ ...context }`). */
export interface Context {
  /** The caller, or null if the request has no valid token. */
  user: User | null
}

const unchanged = new WeakSet<object>()

/** Whether a context is as `createContext` made it: a copy may have another user, or none, on purpose. */
export const isUnchanged = (ctx: object) => unchanged.has(ctx)

/** The guards' data of a context; undefined if `createContext` did not make the context. */
export const guardStateOf = (ctx: object | undefined): GuardState | undefined =>
  ctx === undefined ? undefined : Reflect.get(ctx, guardState)

/** The part of tRPC's info about a request that is used. */
export interface ConnectionInfo {
  connectionParams?: Readonly<Record<string, string | undefined>> | null
  type?: string
}

/** The token of the header or, over WebSocket and server-sent events, where a browser sends no header, of `connectionParams`. */
function tokenOf(req: RequestLike, info: ConnectionInfo | undefined): string {
  try {
    return bearerToken(req)
  } catch (error) {
    // Over HTTP they are a part of the URL, which only a subscription needs.
    const isCall = info?.type === 'query' || info?.type === 'mutation'
    const params = isCall ? null : info?.connectionParams
    const authorization = params?.authorization ?? (params?.token && `Bearer ${params.token}`)
    const isMissing = error instanceof TokenError && error.reason === 'missing'
    if (!isMissing || !authorization) throw error
    return bearerToken({ headers: { authorization } })
  }
}

/** Options of {@link createContextFactory}. */
export interface ContextOptions {
  verifier: Pick<Verifier, 'verify'>
  /** What `openDatabase` returns. Without it there is no `ctx.db`, and `requireUser` is the guard. */
  database?: Pick<OpenDatabase, 'forUser'> | undefined
  /**
   * Called for each token that is refused, without the token. If it throws, the error goes to `console.error`. @default `console.warn` once
   * per reason; nothing if `onAnswer` of a handler receives the refusals
   */
  onRefusal?: ((refusal: Refusal) => void) | undefined
}

/**
 * Creates the `createContext` of any tRPC adapter whose options have `req`: node:http, Express, Fastify, Next.js, fetch, ws.
 * The token is in the `Authorization` header or, if that is missing, in `connectionParams`: as `token`, or as `authorization` with
 * `Bearer`. It does not throw for a bad token, so that public procedures still answer: `protectedProcedure` throws the reason.
 *
 * @example
 * createHTTPHandler({ router: appRouter, createContext: createContextFactory({ verifier, database }) })
 */
export function createContextFactory({ verifier, database, onRefusal = warnOnce() }: ContextOptions) {
  return async function createContext({
    req,
    info,
    requestId = crypto.randomUUID(),
    isInputComplete = false,
    abort,
  }: {
    req: RequestLike
    /** From tRPC. When its signal aborts, the statements of this call are cancelled. */
    info?: ConnectionInfo & { signal: AbortSignal; calls?: readonly unknown[] }
    requestId?: string
    /** Whether the body was read already. Otherwise a guard waits for it, and verifies the token again then if that took long. */
    isInputComplete?: boolean
    /** Aborts the request of a stream whose token has been refused. */
    abort?: (reason: unknown) => void
  }): Promise<Context> {
    const state: GuardState = {
      refusal: null,
      user: null,
      firstUser: null,
      db: null,
      batch: (info?.calls?.length ?? 0) > 1 ? emptyBatchAnswer() : undefined,
      requestId,
      isInputComplete,
      abort,
      verifiedAt: 0,
    }
    try {
      const token = tokenOf(req, info)
      state.expiry = () => (decodeJwt(token).exp ?? 0) * 1_000
      state.verify = async () => {
        const user = await verifier.verify(token)
        state.verifiedAt = performance.now()
        // Roles, scopes and organisations may have changed since.
        state.user = user
        state.db = state.forUser?.(user) ?? null
      }
      if (database !== undefined) state.forUser = user => database.forUser(user, { signal: info?.signal })
      await state.verify()
    } catch (error) {
      if (!(error instanceof TokenError)) throw error
      state.refusal = error
      const refusal = reportedRefusal(error)
      if (refusal !== null)
        callHook(
          () => onRefusal(refusal),
          thrown => console.error('The onRefusal option threw an error:', thrown),
        )
      state.verifiedAt = performance.now()
      // After an outage the token may be good, and the context of a WebSocket lives on.
      if (error.status !== 503) delete state.verify
    }
    state.firstUser = state.user
    const context = { user: state.user, [guardState]: state }
    unchanged.add(context)
    return context
  }
}
