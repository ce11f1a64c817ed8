import { type TRPCDefaultErrorShape, TRPCError } from '@trpc/server'
import {
  AnswerTooLargeError,
  DatabaseUnavailableError,
  isConcurrencyConflict,
  isDatabaseUnavailable,
  isRefusedByPolicy,
  isStatementTimeout,
} from '../../db/errors.js'
import type { ErrorShape } from '../../shared/error-data.js'
import { causesOf } from '../../shared/error-handling.js'
import { type Reason, reasons } from '../../shared/reasons.js'
import type { Task } from '../../shared/task.js'
import { TokenError } from '../verifier/token-error.js'
import { guardStateOf } from './context.js'

/** Cause of a CONFLICT: the task has a newer version. */
export class VersionConflict extends Error {
  override name = 'VersionConflict'

  constructor(readonly current: Task) {
    super('The task has changed since this version.')
  }
}

/** Carries the id of a request that failed before it had a context. */
export class RequestFailure extends Error {
  override name = 'RequestFailure'

  constructor(
    readonly requestId: string,
    options: ErrorOptions,
  ) {
    super('The request failed before it reached a procedure.', options)
  }
}

/** The reason of a refusal, for your own `onError` or error formatter. Undefined for any other error. */
export function reasonOf(error: unknown): Reason | undefined {
  return causesOf(error).find(isRefusal)?.reason
}

const isRequestFailure = (cause: Error) => cause instanceof RequestFailure

const isRefusal = (cause: Error) => cause instanceof TokenError || cause instanceof DatabaseUnavailableError

const codes = { 401: 'UNAUTHORIZED', 403: 'FORBIDDEN', 503: 'SERVICE_UNAVAILABLE' } as const

/** The error that a procedure throws for a refused token: 401, 403, or 503 during an outage of the issuer. */
export function refusalError(refusal: TokenError): TRPCError {
  return new TRPCError({ code: codes[refusal.status], message: refusal.message, cause: refusal })
}

/**
 * Rethrows an expected failure of a procedure with its real code.
 *
 * @throws TRPCError CLIENT_CLOSED_REQUEST (499), SERVICE_UNAVAILABLE (503, database down), GATEWAY_TIMEOUT (504), PAYLOAD_TOO_LARGE (413), CONFLICT (a deadlock,
 * or `serializable`) or FORBIDDEN (a policy refused a row)
 */
export function rethrowExpectedFailure({ code, cause }: TRPCError, signal: AbortSignal | undefined): void {
  if (code !== 'INTERNAL_SERVER_ERROR') return
  if (signal?.aborted)
    throw new TRPCError({ code: 'CLIENT_CLOSED_REQUEST', message: 'The client closed the request.', cause })
  if (isDatabaseUnavailable(cause))
    throw new TRPCError({ code: 'SERVICE_UNAVAILABLE', message: reasons.database_unavailable, cause })
  if (isStatementTimeout(cause)) {
    const message = 'This took longer than the server allows. Ask for less at once.'
    throw new TRPCError({ code: 'GATEWAY_TIMEOUT', message, cause })
  }
  if (causesOf(cause).some(error => error instanceof AnswerTooLargeError)) {
    const message = 'The answer is too large. Ask for less at once.'
    throw new TRPCError({ code: 'PAYLOAD_TOO_LARGE', message, cause })
  }
  if (isConcurrencyConflict(cause)) {
    const message = 'Another call changed the same rows at the same time. Try again.'
    throw new TRPCError({ code: 'CONFLICT', message, cause })
  }
  if (isRefusedByPolicy(cause))
    throw new TRPCError({ code: 'FORBIDDEN', message: 'You can only write your own rows.', cause })
}

/** Formats an error for the client: the reason, fields or current task as data. Unexpected errors show a request id only. */
export function formatError({
  error,
  shape,
  ctx,
}: {
  error: TRPCError
  shape: TRPCDefaultErrorShape
  ctx: object | undefined
}): ErrorShape {
  const { stack: _, ...data } = shape.data
  if (error.code === 'INTERNAL_SERVER_ERROR') {
    const requestId = guardStateOf(ctx)?.requestId ?? causesOf(error).find(isRequestFailure)?.requestId
    const message = 'Something went wrong on the server.'
    return { ...shape, message, data: { ...data, ...(requestId !== undefined && { requestId }) } }
  }
  const fields = error.code === 'BAD_REQUEST' ? fieldsOf(error.cause) : undefined
  const reason = reasonOf(error)
  return {
    ...shape,
    ...(fields && { message: messageOf(fields) }),
    data: {
      ...data,
      ...(reason && { reason }),
      ...(fields && { fields }),
      ...(error.cause instanceof VersionConflict && { current: error.cause.current }),
    },
  }
}

const maxIssues = 20

/** Names of properties that superjson refuses to send. */
const notSerializable = new Set(['__proto__', 'constructor', 'prototype'])

type Segment = PropertyKey | { key: PropertyKey }

interface Issue {
  message: string
  path?: readonly Segment[] | undefined
}

const isIssue = (issue: unknown): issue is Issue =>
  typeof issue === 'object' && issue !== null && 'message' in issue && typeof issue.message === 'string'

/** Checked by shape, so that other copies of zod and other Standard Schema libraries work too. */
function fieldsOf(cause: unknown): Record<string, string[]> | undefined {
  if (!(cause instanceof Error && 'issues' in cause && Array.isArray(cause.issues))) return undefined
  const fields = new Map<string, string[]>()
  for (const { path, message } of cause.issues.slice(0, maxIssues).filter(isIssue)) {
    const segments = Array.isArray(path) ? path : []
    const keys = segments.map((segment: Segment) =>
      String(typeof segment === 'object' ? segment.key : segment),
    )
    const name = keys.join('.') || 'root'
    const field = notSerializable.has(name) ? 'root' : name
    fields.set(field, [...(fields.get(field) ?? []), message])
  }
  return fields.size === 0 ? undefined : Object.fromEntries(fields)
}

const messageOf = (fields: Record<string, string[]>) =>
  Object.entries(fields)
    .map(([field, messages]) => `${field === 'root' ? '' : `${field}: `}${messages.join(', ')}`)
    .join('; ')
