import type { Kysely } from 'kysely'
import type { OpenDatabase } from '../../db/open-database.js'
import type { Database } from '../../db/schema.js'
import type { User } from '../../shared/user.js'
import { bearerToken, type RequestLike } from '../verifier/bearer-token.js'
import type { Verifier } from '../verifier/create-verifier.js'
import { TokenError } from '../verifier/token-error.js'

/** Key of what the guards know beyond the user. A symbol, so that no procedure reaches a database without one. */
export const access: unique symbol = Symbol('trpc-bearer.access')

interface Access {
  /** Why there is no user. */
  refusal: TokenError | null
  /** The database as the user sees it; null where there is no user. */
  db: Kysely<Database> | null
  requestId: string
}

/** Context of every procedure. */
export interface Context {
  /** The caller, or null when the request carried no token that holds. */
  user: User | null
  readonly [access]: Access
}

/** What the guards know of a context, where `createContext` made it. */
export function accessOf(ctx: object | undefined): Access | undefined {
  return ctx !== undefined && access in ctx ? (ctx as Context)[access] : undefined
}

/** Options of {@link createContextFactory}. */
export interface ContextOptions {
  verifier: Pick<Verifier, 'verify'>
  /** What `openDatabase` returns. */
  database: Pick<OpenDatabase, 'forUser'>
}

/**
 * Makes the `createContext` of any tRPC adapter whose options hold `req`: node:http, Express, Fastify, Next.js, fetch, ws.
 * It never throws for a bad token, so that public procedures still answer: it records why, and `protectedProcedure` throws.
 *
 * @example
 * createHTTPHandler({ router: appRouter, createContext: createContextFactory({ verifier, database }) })
 */
export function createContextFactory({ verifier, database }: ContextOptions) {
  return async function createContext({
    req,
    info,
    requestId = crypto.randomUUID(),
  }: {
    req: RequestLike
    /** tRPC's: its signal says that the caller has gone, and what still runs for them is cancelled. */
    info?: { signal: AbortSignal }
    requestId?: string
  }): Promise<Context> {
    try {
      const user = await verifier.verify(bearerToken(req))
      return {
        user,
        [access]: { refusal: null, db: database.forUser(user.id, { signal: info?.signal }), requestId },
      }
    } catch (error) {
      if (!(error instanceof TokenError)) throw error
      return { user: null, [access]: { refusal: error, db: null, requestId } }
    }
  }
}
