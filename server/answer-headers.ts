import type { TRPCError } from '@trpc/server'
import { causesOf } from '../shared/causes.js'
import { reasons } from '../shared/reasons.js'
import { reasonOf } from './errors.js'
import { TokenError } from './token-error.js'

/** Seconds after which an outage may be over, where nobody knows. */
const usualRetryAfter = 5

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
    failures.find(error => reasonOf(error) === 'insufficient_scope')
  if (refusal) headers.set('www-authenticate', challenge(refusal))
  const outages = failures.filter(error => error.code === 'SERVICE_UNAVAILABLE')
  if (outages.length > 0)
    headers.set('retry-after', String(Math.ceil(Math.max(...outages.map(retryAfterOf)))))
  if (failures.some(error => error.code === 'METHOD_NOT_SUPPORTED')) {
    headers.set('allow', request.method === 'GET' ? 'POST' : 'GET, HEAD, POST')
  }
}

const retryAfterOf = (error: TRPCError) => tokenErrorOf(error)?.retryAfter ?? usualRetryAfter

const tokenErrorOf = (error: TRPCError) => causesOf(error).find(cause => cause instanceof TokenError)

/** RFC 6750 section 3: nothing is said of an error where no token was sent. */
function challenge(error: TRPCError): string {
  const reason = reasonOf(error)
  if (reason === undefined || reason === 'missing') return 'Bearer'
  const description = reasons[reason].replaceAll('"', "'")
  if (reason !== 'insufficient_scope')
    return `Bearer error="invalid_token", error_description="${description}"`
  const scope = tokenErrorOf(error)?.scope
  const needed = scope === undefined ? '' : `, scope="${scope}"`
  return `Bearer error="insufficient_scope", error_description="${description}"${needed}`
}
