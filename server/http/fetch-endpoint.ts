import { TRPCError } from '@trpc/server'
import * as trpcHttp from '@trpc/server/http'
import { requireTrpc } from '../trpc/trpc-version.js'
import type { RequestLike } from '../verifier/bearer-token.js'
import { type BodySource, readRequest } from './body.js'
import { Exchange, type HandlerSettings } from './exchange.js'
import { isPlainTarget, pathNotPlain, pathOf, procedurePath, requestIdOf } from './request-target.js'
import { setAnswerHeaders } from './response-headers.js'

const resolveResponse = requireTrpc(trpcHttp.resolveResponse)

/** The tRPC endpoint for any host: path, method, limits, authentication, headers. It takes every request to tRPC's own adapter. */
export function createFetchEndpoint(settings: HandlerSettings) {
  const { router, prefix, maxBatchSize, maxBodySize } = settings

  return async function answer(
    request: Request,
    source: RequestLike & BodySource & { url?: string | undefined } = request,
  ): Promise<Response> {
    const requestId = requestIdOf(request.headers.get('x-request-id'))
    const exchange = new Exchange(settings, requestId, request.method)
    const respond = async (): Promise<Response> => {
      const path = pathOfProcedures(request, source.url ?? request.url, prefix)
      checkMethod(request)
      const req = await readRequest(request, source, maxBodySize)
      return resolveResponse({
        router,
        req,
        path,
        error: null,
        maxBatchSize,
        allowMethodOverride: true,
        createContext({ info }) {
          const isStream = info.type === 'subscription' || info.accept === 'application/jsonl'
          return exchange.createContext(source, info, isStream ? endableBy(req) : undefined)
        },
        onError: ({ error, path: procedure }) => exchange.fail(error, procedure),
        responseMeta: answer => exchange.responseMeta(answer),
      })
    }
    const response = await respond().catch(cause => {
      const { status, body } = exchange.failedAnswer(cause)
      return new Response(body, { status, headers: { 'content-type': 'application/json' } })
    })
    setAnswerHeaders(response.headers, exchange)
    exchange.report(request, response.status)
    return response
  }
}

/** Replaces the signal of a request, which tRPC reads after it has created the context. */
function endableBy(req: Request) {
  const controller = new AbortController()
  const signal = AbortSignal.any([req.signal, controller.signal])
  Object.defineProperty(req, 'signal', { value: signal })
  return (reason: unknown) => controller.abort(reason)
}

/** @throws TRPCError BAD_REQUEST for a path that is not in its plain form, NOT_FOUND for a path without procedures */
function pathOfProcedures(request: Request, target: string, prefix: string): string {
  const pathname = pathOf(request)
  if (pathname === undefined || !isPlainTarget(target, pathname))
    throw new TRPCError({ code: 'BAD_REQUEST', message: pathNotPlain })
  const path = procedurePath(pathname, prefix)
  if (path !== null) return path
  const message = 'No procedure at this path. Use <basePath>/<procedure>, such as /trpc/health.'
  throw new TRPCError({ code: 'NOT_FOUND', message })
}

function checkMethod({ method }: Request): void {
  if (method === 'GET' || method === 'HEAD' || method === 'POST') return
  const message = 'Use GET for queries and POST for mutations.'
  throw new TRPCError({ code: 'METHOD_NOT_SUPPORTED', message })
}
