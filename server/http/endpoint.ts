import { type AnyTRPCRouter, getTRPCErrorShape, TRPCError, transformTRPCResponse } from '@trpc/server'
import { getHTTPStatusCodeFromError, resolveResponse } from '@trpc/server/http'
import { callHook } from '../../shared/call-hook.js'
import { appRouter } from '../routers/app.js'
import { accessOf, type ContextOptions, createContextFactory } from '../trpc/context.js'
import { RequestFailure } from '../trpc/error-shape.js'
import type { RequestLike } from '../verifier/bearer-token.js'
import { type BodySource, readBody } from './body.js'
import { type CallReport, callsOf, procedureNames, refusalOf } from './call-report.js'
import { describeError } from './describe-error.js'
import { isPlainTarget, plainPathAdvice, requestIdOf } from './request.js'
import { setAnswerHeaders } from './response-headers.js'

/** Options of `createNodeHandler` and `createFetchHandler`. */
export interface HandlerOptions extends ContextOptions {
  /** @default the package's own `appRouter` */
  router?: AnyTRPCRouter | undefined
  /** Path that the procedures stand under. @default '/trpc' */
  basePath?: string | undefined
  /**
   * Gets what is not the caller's fault, whole: unexpected errors (the caller sees a request id only) and outages. What it throws is
   * reported by `console.error`, and changes no answer. @default console.error
   */
  onError?:
    | ((failure: { error: TRPCError; requestId: string; procedure: string | undefined }) => void)
    | undefined
  /** Called once for each answer, for logs and metrics. What it throws is reported by `console.error`, and changes no answer. */
  onAnswer?: ((answer: CallReport) => void) | undefined
}

const ours = new Set(['INTERNAL_SERVER_ERROR', 'SERVICE_UNAVAILABLE', 'GATEWAY_TIMEOUT'])
const maxBatchSize = 50

/** The whole tRPC endpoint, for any host: path, method, limits, authentication, headers. */
export function createEndpoint({
  verifier,
  database,
  router = appRouter,
  basePath = '/trpc',
  onError = ({ error, requestId, procedure }) =>
    console.error(`Request ${requestId} (${procedure}) failed:`, describeError(error.cause ?? error)),
  onAnswer,
}: HandlerOptions) {
  const createContext = createContextFactory({ verifier, database })
  const prefix = `${basePath.replace(/\/+$/, '')}/`
  const known = procedureNames(router)

  return async function answer(
    request: Request,
    source: RequestLike & BodySource & { url?: string | undefined } = request,
  ): Promise<Response> {
    const started = performance.now()
    const requestId = requestIdOf(request.headers)
    const { pathname } = new URL(request.url)
    const failures: TRPCError[] = []
    const seen: Pick<CallReport, 'calls' | 'userId' | 'refusal'> = { calls: [], userId: null, refusal: null }

    const report = (error: TRPCError, procedure?: string) => {
      failures.push(error)
      if (ours.has(error.code))
        callHook(() => onError({ error, requestId, procedure }), warnOf('onError', requestId))
    }
    const respond = async (): Promise<Response> => {
      if (!isPlainTarget(source.url ?? request.url, pathname))
        throw new TRPCError({ code: 'BAD_REQUEST', message: plainPathAdvice })
      const path = procedurePath(pathname, prefix)
      if (path === null) throw new TRPCError({ code: 'NOT_FOUND', message: 'There is nothing at this path.' })
      checkMethod(request)
      const body = await readBody(request, source)
      return resolveResponse({
        router,
        req: body === null ? request : withBody(request, body),
        path,
        error: null,
        maxBatchSize,
        allowMethodOverride: true,
        async createContext({ info }) {
          const context = await createContext({ req: source, info, requestId }).catch(cause => {
            throw new RequestFailure(requestId, { cause })
          })
          seen.userId = context.user?.id ?? null
          seen.refusal = refusalOf(accessOf(context)?.refusal)
          return context
        },
        onError: ({ error, path: procedure }) => report(error, procedure),
        responseMeta({ paths, data }) {
          seen.calls = callsOf(paths, data, known)
          return {}
        },
      })
    }
    const response = await respond().catch(cause => {
      const error = cause instanceof TRPCError ? cause : unexpected(requestId, cause)
      report(error)
      seen.calls = [{ procedure: 'unknown', outcome: error.code }]
      return errorResponse(router, error)
    })
    setAnswerHeaders(response.headers, { request, requestId, failures })
    const { status } = response
    const duration = (performance.now() - started) / 1000
    callHook(
      () => onAnswer?.({ request, requestId, ...seen, status, duration }),
      warnOf('onAnswer', requestId),
    )
    return response
  }
}

const warnOf = (option: string, requestId: string) => (error: unknown) =>
  console.error(`The ${option} option has thrown (request ${requestId}):`, describeError(error))

/** `<prefix><procedures>`, or `/<procedures>` where the host has cut the prefix off: of one segment exactly, else null. */
function procedurePath(pathname: string, prefix: string): string | null {
  const path = pathname.startsWith(prefix) ? pathname.slice(prefix.length) : pathname.slice(1)
  return path === '' || path.includes('/') ? null : path
}

function checkMethod({ method, headers }: Request): void {
  if (method !== 'GET' && method !== 'HEAD' && method !== 'POST') {
    throw new TRPCError({
      code: 'METHOD_NOT_SUPPORTED',
      message: 'Use GET for queries and POST for mutations.',
    })
  }
  const contentType = headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  const isJson = contentType === 'application/json'
  if (!isJson && (method === 'POST' || contentType !== undefined)) {
    throw new TRPCError({
      code: 'UNSUPPORTED_MEDIA_TYPE',
      message: 'Send JSON, with content-type: application/json.',
    })
  }
}

function unexpected(requestId: string, cause: unknown): TRPCError {
  return new TRPCError({ code: 'INTERNAL_SERVER_ERROR', cause: new RequestFailure(requestId, { cause }) })
}

function withBody({ url, method, headers, signal }: Request, body: string): Request {
  return new Request(url, { method, headers, signal, body })
}

/** An answer in tRPC's own form, and through the router's own formatter, for what never reached a procedure. */
function errorResponse(router: AnyTRPCRouter, error: TRPCError): Response {
  const config = router._def._config
  const shape = getTRPCErrorShape({
    config,
    error,
    type: 'unknown',
    path: undefined,
    input: undefined,
    ctx: undefined,
  })
  const body = transformTRPCResponse(config, { error: shape })
  return Response.json(body, { status: getHTTPStatusCodeFromError(error) })
}
