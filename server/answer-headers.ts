import type { TRPCError } from '@trpc/server'
import { causesOf } from '../shared/causes.js'
import { TokenError, usualRetryAfter } from './token-error.js'

/** The headers that every answer carries, and those that its failures ask for. */
export function setAnswerHeaders(
  headers: Headers,
  { request, requestId, failures }: { request: Request; requestId: string; failures: readonly TRPCError[] },
): void {
  headers.set('x-request-id', requestId)
  headers.set('cache-control', 'no-store')
  headers.set('x-content-type-options', 'nosniff')
  headers.append('vary', 'Origin')
  const refusal =
    failures.find(error => error.code === 'UNAUTHORIZED') ??
    failures.find(error => tokenErrorOf(error)?.reason === 'insufficient_scope')
  if (refusal) headers.set('www-authenticate', tokenErrorOf(refusal)?.headers['www-authenticate'] ?? 'Bearer')
  const outages = failures.filter(error => error.code === 'SERVICE_UNAVAILABLE')
  if (outages.length > 0)
    headers.set('retry-after', String(Math.ceil(Math.max(...outages.map(retryAfterOf)))))
  if (failures.some(error => error.code === 'METHOD_NOT_SUPPORTED')) {
    headers.set('allow', request.method === 'GET' ? 'POST' : 'GET, HEAD, POST')
  }
}

const retryAfterOf = (error: TRPCError) => tokenErrorOf(error)?.retryAfter ?? usualRetryAfter

const tokenErrorOf = (error: TRPCError) => causesOf(error).find(cause => cause instanceof TokenError)
