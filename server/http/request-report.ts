import type { AnyTRPCRouter } from '@trpc/server'
import { TRPC_ERROR_CODES_BY_KEY } from '@trpc/server/rpc'
import { reasons } from '../../shared/reasons.js'
import type { Refusal } from '../trpc/refusal.js'

/** What a handler reports of an answered request, for logs and metrics. It contains nothing of the input. */
export interface RequestReport {
  /** Not enumerable, because a printed request shows its token and input. */
  request: Request
  requestId: string
  method: string
  /** Each call of the batch: the procedure (`unknown` if the router has none) and `ok`, a reason or an error code. */
  calls: { procedure: string; outcome: string }[]
  userId: string | null
  /** Why the token was refused; null if there was no token or it is valid. */
  refusal: Refusal | null
  /** HTTP status. */
  status: number
  /** Seconds from the request to the answer. */
  duration: number
}

/** A request, or a function that makes it when it is read. */
export type RequestSource = Request | (() => Request)

/** Adds the request to a report, hidden from logs. */
export const reportOf = (request: RequestSource, report: Omit<RequestReport, 'request'>): RequestReport =>
  Object.assign(new Report(request), report)

class Report {
  #request: RequestSource

  constructor(request: RequestSource) {
    this.#request = request
  }

  get request(): Request {
    if (typeof this.#request === 'function') this.#request = this.#request()
    return this.#request
  }
}

/** The calls of a request with their outcomes. `data` is empty if the answer is a stream. */
export function callsOf(
  paths: readonly string[] | undefined,
  data: readonly unknown[],
  router: AnyTRPCRouter,
): RequestReport['calls'] {
  const named = paths ?? ['']
  return named.map((path, index) => ({
    // Looked up now, because a lazy router is loaded by its first call.
    procedure: Object.hasOwn(router._def.procedures, path) ? path : 'unknown',
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

// Checked, because a custom error formatter may return anything.
const isOutcome = (value: unknown): value is string =>
  typeof value === 'string' &&
  (Object.hasOwn(reasons, value) || Object.hasOwn(TRPC_ERROR_CODES_BY_KEY, value))

const property = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
