import * as trpc from '@trpc/server'
import { type AnyTRPCRouter, TRPCError, transformTRPCResponse } from '@trpc/server'
import * as trpcHttp from '@trpc/server/http'
import { getHTTPStatusCodeFromError } from '@trpc/server/http'
import { callHook } from '../../shared/error-handling.js'
import { appRouter } from '../routers/app.js'
import { type ContextOptions, createContextFactory, guardStateOf } from '../trpc/context.js'
import { formatError, RequestFailure } from '../trpc/errors.js'
import { reportedRefusal } from '../trpc/refusal.js'
import { requireTrpc } from '../trpc/trpc-version.js'
import type { RequestLike } from '../verifier/bearer-token.js'
import { type BodySource, readRequest } from './body.js'
import { callsOf, type RequestReport, reportOf } from './request-report.js'
import { isPlainTarget, pathNotPlain, pathOf, requestIdOf } from './request-target.js'
import { type ResponseMeta, setAnswerHeaders } from './response-headers.js'
import { serializeError } from './serialize-error.js'

const getTRPCErrorShape = requireTrpc(trpc.getTRPCErrorShape)
const resolveResponse = requireTrpc(trpcHttp.resolveResponse)

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
   * `console.error` and the answer stays the same. @default console.error
   */
  onError?:
    | ((failure: { error: TRPCError; requestId: string; procedure: string | undefined }) => void)
    | undefined
  /** Called once for each request, for logs and metrics. If it throws, the error goes to `console.error`. */
  onAnswer?: ((report: RequestReport) => void) | undefined
}

const serverFaults = new Set(['INTERNAL_SERVER_ERROR', 'SERVICE_UNAVAILABLE', 'GATEWAY_TIMEOUT'])

/**
 * The tRPC endpoint for any host: path, method, limits, authentication, headers.
 *
 * @throws TypeError if a limit is not a whole number from 1
 */
export function createEndpoint({
  verifier,
  database,
  onRefusal,
  router = appRouter,
  basePath = '/trpc',
  maxBatchSize = 50,
  maxBodySize = 1_048_576,
  responseMeta = () => ({}),
  onError = ({ error, requestId, procedure }) =>
    console.error(`Request ${requestId} (${procedure}) failed:`, serializeError(error.cause ?? error)),
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

  return async function answer(
    request: Request,
    source: RequestLike & BodySource & { url?: string | undefined } = request,
  ): Promise<Response> {
    const started = performance.now()
    const requestId = requestIdOf(request.headers)
    const pathname = pathOf(request)
    const failures: TRPCError[] = []
    const outcome: Pick<RequestReport, 'calls' | 'userId' | 'refusal'> = {
      calls: [],
      userId: null,
      refusal: null,
    }

    const reportFailure = (error: TRPCError, procedure?: string) => {
      failures.push(error)
      if (serverFaults.has(error.code))
        callHook(() => onError({ error, requestId, procedure }), logHookError('onError', requestId))
    }
    const respond = async (): Promise<Response> => {
      if (pathname === undefined || !isPlainTarget(source.url ?? request.url, pathname))
        throw new TRPCError({ code: 'BAD_REQUEST', message: pathNotPlain })
      const path = procedurePath(pathname, prefix)
      if (path === null)
        throw new TRPCError({
          code: 'NOT_FOUND',
          message: 'No procedure at this path. Use <basePath>/<procedure>, such as /trpc/health.',
        })
      checkMethod(request)
      const req = await readRequest(request, source, maxBodySize)
      return resolveResponse({
        router,
        req,
        path,
        error: null,
        maxBatchSize,
        allowMethodOverride: true,
        async createContext({ info }) {
          const stream =
            info.type === 'subscription' || info.accept === 'application/jsonl' ? endableBy(req) : {}
          const context = await createContext({ req: source, info, requestId, ...stream }).catch(cause => {
            throw new RequestFailure(requestId, { cause })
          })
          outcome.userId = context.user?.id ?? null
          outcome.refusal = reportedRefusal(guardStateOf(context)?.refusal)
          return context
        },
        onError: ({ error, path: procedure }) => reportFailure(error, procedure),
        responseMeta(answer) {
          outcome.calls = callsOf(answer.paths, answer.data, router)
          return responseMeta(answer)
        },
      })
    }
    const response = await respond().catch(cause => {
      const error = cause instanceof TRPCError ? cause : unexpectedError(requestId, cause)
      reportFailure(error)
      outcome.calls = [{ procedure: 'unknown', outcome: error.code }]
      return errorResponse(router, error)
    })
    setAnswerHeaders(response.headers, { request, requestId, failures })
    const { status } = response
    const duration = (performance.now() - started) / 1000
    callHook(
      () => onAnswer?.(reportOf(request, { requestId, ...outcome, status, duration })),
      logHookError('onAnswer', requestId),
    )
    return response
  }
}

/** Replaces the signal of a request, which tRPC reads after it has created the context. */
function endableBy(req: Request) {
  const controller = new AbortController()
  const signal = AbortSignal.any([req.signal, controller.signal])
  Object.defineProperty(req, 'signal', { value: signal })
  return { abort: (reason: unknown) => controller.abort(reason) }
}

const logHookError = (option: string, requestId: string) => (error: unknown) =>
  console.error(`The ${option} option threw an error (request ${requestId}):`, serializeError(error))

/**
 * The procedures of `<prefix><procedures>`, or of `/<procedures>` if the host has removed the prefix. Null for another path. A second
 * slash in front is another path, so that nobody bypasses a proxy rule for `/trpc/<procedure>`.
 */
function procedurePath(pathname: string, prefix: string): string | null {
  const rest = pathname.startsWith(prefix) ? pathname.slice(prefix.length) : pathname.slice(1)
  let end = rest.length
  while (rest[end - 1] === '/') end--
  const path = rest.slice(0, end)
  return path === '' || path.includes('/') ? null : path
}

function checkMethod({ method }: Request): void {
  if (method === 'GET' || method === 'HEAD' || method === 'POST') return
  const message = 'Use GET for queries and POST for mutations.'
  throw new TRPCError({ code: 'METHOD_NOT_SUPPORTED', message })
}

function unexpectedError(requestId: string, cause: unknown): TRPCError {
  return new TRPCError({ code: 'INTERNAL_SERVER_ERROR', cause: new RequestFailure(requestId, { cause }) })
}

/** An answer in tRPC's form, with the router's formatter, for a request that did not reach a procedure. */
function errorResponse(router: AnyTRPCRouter, error: TRPCError): Response {
  const config = router._def._config
  const details = { error, type: 'unknown', path: undefined, input: undefined, ctx: undefined } as const
  const status = getHTTPStatusCodeFromError(error)
  const answerWith = (errorFormatter: typeof config.errorFormatter) => {
    const shape = getTRPCErrorShape({ config: { ...config, errorFormatter }, ...details })
    return Response.json(transformTRPCResponse(config, { error: shape }), { status })
  }
  try {
    return answerWith(config.errorFormatter)
  } catch {
    // A formatter of the application that throws must not leave the request without an answer.
    return answerWith(formatError)
  }
}
