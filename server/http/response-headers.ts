import type { AnyTRPCRouter, TRPCError } from '@trpc/server'
import type { HTTPBaseHandlerOptions } from '@trpc/server/http'
import { causesOf } from '../../shared/error-handling.js'
import { TokenError, usualRetryAfter } from '../verifier/token-error.js'

/** The `responseMeta` option of tRPC's adapters. */
export type ResponseMeta = NonNullable<HTTPBaseHandlerOptions<AnyTRPCRouter, Request>['responseMeta']>

/** Sets the headers of every answer, and those of its failures. */
export function setAnswerHeaders(
  headers: Headers,
  { requestId, method, failures }: { requestId: string; method: string; failures: readonly TRPCError[] },
): void {
  headers.set('x-request-id', requestId)
  // tRPC's own value for a stream lets it be stored.
  const hasOwnCaching = !['', 'no-cache, no-transform'].includes(headers.get('cache-control') ?? '')
  if (!hasOwnCaching)
    headers.set('cache-control', headers.has('cache-control') ? 'no-store, no-transform' : 'no-store')
  headers.set('x-content-type-options', 'nosniff')
  headers.append('vary', hasOwnCaching ? 'Origin, Authorization' : 'Origin')
  // tRPC sets these for a stream. HTTP/2 refuses them (RFC 9113 section 8.2.2), and for HTTP/1 the host sets its own.
  headers.delete('transfer-encoding')
  headers.delete('connection')
  for (const [name, value] of responseMeta({ errors: failures }).headers) headers.set(name, value)
  if (failures.some(error => error.code === 'METHOD_NOT_SUPPORTED')) {
    headers.set('allow', method === 'GET' ? 'POST' : 'GET, HEAD, POST')
  }
}

/**
 * The `responseMeta` option for tRPC's own adapters. It adds `WWW-Authenticate` (RFC 6750 section 3) if a call is
 * UNAUTHORIZED or lacks a scope, and `Retry-After` (seconds) if one is SERVICE_UNAVAILABLE. `createNodeHandler` and
 * `createFetchHandler` add them by themselves; a stream (`httpBatchStreamLink`) cannot, because its headers are sent first.
 *
 * @example
 * createHTTPServer({ router, createContext: createContextFactory({ verifier, database }), responseMeta })
 */
export function responseMeta({ errors }: { errors: readonly TRPCError[] }): { headers: Headers } {
  const headers = new Headers()
  const refusal =
    errors.find(error => error.code === 'UNAUTHORIZED') ??
    errors.find(error => tokenErrorOf(error)?.reason === 'insufficient_scope')
  if (refusal) headers.set('www-authenticate', tokenErrorOf(refusal)?.headers['www-authenticate'] ?? 'Bearer')
  const outages = errors.filter(error => error.code === 'SERVICE_UNAVAILABLE')
  if (outages.length > 0)
    headers.set('retry-after', String(Math.ceil(Math.max(...outages.map(retryAfterOf)))))
  return { headers }
}

const retryAfterOf = (error: TRPCError) => tokenErrorOf(error)?.retryAfter ?? usualRetryAfter

const tokenErrorOf = (error: TRPCError) => causesOf(error).find(cause => cause instanceof TokenError)
