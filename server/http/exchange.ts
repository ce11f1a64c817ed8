import * as trpc from '@trpc/server'
import { type AnyTRPCRouter, TRPCError, transformTRPCResponse } from '@trpc/server'
import { getHTTPStatusCodeFromError, type TRPCRequestInfo } from '@trpc/server/http'
import { callHook } from '../../shared/error-handling.js'
import { appRouter } from '../routers/app.js'
import { type ContextOptions, createContextFactory, guardStateOf } from '../trpc/context.js'
import { formatError, RequestFailure } from '../trpc/errors.js'
import { type Refusal, reportedRefusal } from '../trpc/refusal.js'
import { requireTrpc } from '../trpc/trpc-version.js'
import type { RequestLike } from '../verifier/bearer-token.js'
import { callsOf, type RequestReport, type RequestSource, reportOf } from './request-report.js'
import type { ResponseMeta } from './response-headers.js'
import { serializeError } from './serialize-error.js'

const getTRPCErrorShape = requireTrpc(trpc.getTRPCErrorShape)

/** Options of `createNodeHandler` and `createFetchHandler`. */
export interface HandlerOptions extends ContextOptions {
  database: NonNullable<ContextOptions['database']>
  /** @default the package's `appRouter` */
  router?: AnyTRPCRouter | undefined
  /** Path of the procedures. @default '/trpc' */
  basePath?: string | undefined
  /** The most calls of one batch; more are answered with 400. @default 50 */
  maxBatchSize?: number | undefined
  /** The longest body, in bytes; a longer one is answered with 413. @default 1_048_576 */
  maxBodySize?: number | undefined
  /** Headers and status of your own, as for tRPC's adapters. Its `cache-control` replaces `no-store`. */
  responseMeta?: ResponseMeta | undefined
  /**
   * Receives unexpected errors (the caller sees only a request id) and outages. If it throws, the error goes to
   * `console.error` and the answer stays the same. @default `console.error`, of outages only the messages
   */
  onError?:
    | ((failure: { error: TRPCError; requestId: string; procedure: string | undefined }) => void)
    | undefined
  /** Called once for each request, for logs and metrics. If it throws, the error goes to `console.error`. */
  onAnswer?: ((report: RequestReport) => void) | undefined
}

/** The options of a handler, complete and checked. */
export type HandlerSettings = ReturnType<typeof settingsOf>

/** @throws TypeError if a limit is not a whole number from 1 */
export function settingsOf({
  verifier,
  database,
  onRefusal,
  router = appRouter,
  basePath = '/trpc',
  maxBatchSize = 50,
  maxBodySize = 1_048_576,
  responseMeta,
  onError = printFailure,
  onAnswer,
}: HandlerOptions) {
  for (const [name, limit] of Object.entries({ maxBatchSize, maxBodySize }))
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new TypeError(`${name}: ${limit} is not a whole number from 1.`)
  const createContext = createContextFactory({
    verifier,
    database,
    onRefusal: onRefusal ?? (onAnswer && (() => {})),
  })
  const prefix = `/${basePath.replaceAll(/^\/+|\/+$/g, '')}/`.replace('//', '/')
  return { router, prefix, maxBatchSize, maxBodySize, responseMeta, onError, onAnswer, createContext }
}

const printFailure: NonNullable<HandlerOptions['onError']> = ({ error, requestId, procedure }) => {
  const causes = serializeError(error.cause ?? error)
  const isOutage = error.code === 'SERVICE_UNAVAILABLE'
  console.error(
    `Request ${requestId} (${procedure}) failed:`,
    isOutage ? causes.map(({ message }) => message).join(' ') : causes,
  )
}

type MetaOptions = Parameters<ResponseMeta>[0]

const serverFaults = new Set(['INTERNAL_SERVER_ERROR', 'SERVICE_UNAVAILABLE', 'GATEWAY_TIMEOUT'])

/** One request and its answer: what both endpoints do with its context, its failures and its report. */
export class Exchange {
  readonly failures: TRPCError[] = []
  calls: RequestReport['calls'] = []
  readonly #started = performance.now()
  #userId: string | null = null
  #refusal: Refusal | null = null

  constructor(
    readonly settings: HandlerSettings,
    readonly requestId: string,
    readonly method: string,
  ) {}

  /** @param abort aborts the request of a stream whose token has been refused */
  async createContext(req: RequestLike, info: TRPCRequestInfo, abort?: (reason: unknown) => void) {
    const { requestId } = this
    try {
      const context = await this.settings.createContext({
        req,
        info,
        requestId,
        isInputComplete: true,
        ...(abort && { abort }),
      })
      this.#userId = context.user?.id ?? null
      this.#refusal = reportedRefusal(guardStateOf(context)?.refusal)
      return context
    } catch (cause) {
      throw new RequestFailure(requestId, { cause })
    }
  }

  fail(error: TRPCError, procedure?: string): void {
    const { requestId, settings } = this
    this.failures.push(error)
    if (serverFaults.has(error.code))
      callHook(() => settings.onError({ error, requestId, procedure }), this.#logHookError('onError'))
  }

  /** The headers and the status of the application, once the calls have their results. */
  responseMeta(answer: MetaOptions): ReturnType<ResponseMeta> {
    this.calls = callsOf(answer.paths, answer.data, this.settings.router)
    return this.settings.responseMeta?.(answer) ?? {}
  }

  /** The answer in tRPC's form, with the router's formatter, to a request that did not reach a procedure. */
  failedAnswer(cause: unknown): { status: number; body: string } {
    const { router } = this.settings
    const error = cause instanceof TRPCError ? cause : unexpectedError(this.requestId, cause)
    this.fail(error)
    this.calls = [{ procedure: 'unknown', outcome: error.code }]
    const config = router._def._config
    const details = { error, type: 'unknown', path: undefined, input: undefined, ctx: undefined } as const
    const bodyBy = (errorFormatter: typeof config.errorFormatter) => {
      const shape = getTRPCErrorShape({ config: { ...config, errorFormatter }, ...details })
      return JSON.stringify(transformTRPCResponse(config, { error: shape }))
    }
    const status = getHTTPStatusCodeFromError(error)
    try {
      return { status, body: bodyBy(config.errorFormatter) }
    } catch {
      // A formatter of the application that throws must not leave the request without an answer.
      return { status, body: bodyBy(formatError) }
    }
  }

  report(request: RequestSource, status: number): void {
    const { onAnswer } = this.settings
    if (onAnswer === undefined) return
    const { requestId, method, calls } = this
    const duration = (performance.now() - this.#started) / 1000
    const report = {
      requestId,
      method,
      calls,
      userId: this.#userId,
      refusal: this.#refusal,
      status,
      duration,
    }
    callHook(() => onAnswer(reportOf(request, report)), this.#logHookError('onAnswer'))
  }

  #logHookError(option: string) {
    return (error: unknown) =>
      console.error(`The ${option} option threw an error (request ${this.requestId}):`, serializeError(error))
  }
}

const unexpectedError = (requestId: string, cause: unknown) =>
  new TRPCError({ code: 'INTERNAL_SERVER_ERROR', cause: new RequestFailure(requestId, { cause }) })
