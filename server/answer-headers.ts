import type { TRPCError } from '@trpc/server'
import { reasons } from '../shared/reasons.js'
import { reasonOf } from './errors.js'

/** Seconds after which an outage may be over. */
const retryAfter = '5'

/** The headers that every answer carries, and those that its failures ask for. */
export function setAnswerHeaders(
  headers: Headers,
  { request, requestId, failures }: { request: Request; requestId: string; failures: readonly TRPCError[] },
): void {
  headers.set('x-request-id', requestId)
  headers.set('cache-control', 'no-store')
  headers.set('x-content-type-options', 'nosniff')
  headers.append('vary', 'Origin')
  const unauthorized = failures.find(error => error.code === 'UNAUTHORIZED')
  if (unauthorized) headers.set('www-authenticate', challenge(unauthorized))
  if (failures.some(error => error.code === 'SERVICE_UNAVAILABLE')) headers.set('retry-after', retryAfter)
  if (failures.some(error => error.code === 'METHOD_NOT_SUPPORTED')) {
    headers.set('allow', request.method === 'GET' ? 'POST' : 'GET, HEAD, POST')
  }
}

/** RFC 6750 section 3: nothing is said of an error where no token was sent. */
function challenge(error: TRPCError): string {
  const reason = reasonOf(error)
  if (reason === undefined || reason === 'missing') return 'Bearer'
  const description = reasons[reason].replaceAll('"', "'")
  return `Bearer error="invalid_token", error_description="${description}"`
}
