import type { AnyTRPCRouter } from '@trpc/server'
import { TRPC_ERROR_CODES_BY_KEY } from '@trpc/server/rpc'
import { type Reason, reasons } from '../../shared/reasons.js'
import type { RefusedToken, TokenError } from '../verifier/token-error.js'

/** Why a request has no user, for a log. */
export interface Refusal extends Partial<RefusedToken> {
  reason: Reason
}

/** What a handler tells of an answer. Nothing of the input is in it, and no name that a caller made up but a `kid`. */
export interface CallReport {
  request: Request
  requestId: string
  /** Each call of the batch: the procedure (`unknown` where the router has none), and `ok`, a reason or an error code. */
  calls: { procedure: string; outcome: string }[]
  userId: string | null
  /** Why the token of the request was refused; null where it had none, or one that holds. */
  refusal: Refusal | null
  /** HTTP status. */
  status: number
  /** Seconds until the answer was ready. */
  duration: number
}

/** What a log may tell of a request without a user. */
export function refusalOf(error: TokenError | null | undefined): Refusal | null {
  return error && error.reason !== 'missing' ? { reason: error.reason, ...error.token } : null
}

/** Names of a router's procedures. */
export function procedureNames(router: AnyTRPCRouter): ReadonlySet<string> {
  return new Set(Object.keys(router._def.procedures))
}

/** The calls of a request with their outcomes. `data` is empty where the answer is a stream. */
export function callsOf(
  paths: readonly string[] | undefined,
  data: readonly unknown[],
  known: ReadonlySet<string>,
): CallReport['calls'] {
  const named = paths ?? ['']
  return named.map((path, index) => ({
    procedure: known.has(path) ? path : 'unknown',
    outcome: data.length === 0 ? 'streamed' : outcomeOf(data[index]),
  }))
}

function outcomeOf(item: unknown): string {
  const error = property(item, 'error')
  if (error === undefined) return 'ok'
  const data = property(error, 'data')
  const outcome = property(data, 'reason') ?? property(data, 'code')
  return isOutcome(outcome) ? outcome : 'error'
}

// A formatter that is not ours may put anything there.
const isOutcome = (value: unknown): value is string =>
  typeof value === 'string' &&
  (Object.hasOwn(reasons, value) || Object.hasOwn(TRPC_ERROR_CODES_BY_KEY, value))

const property = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
