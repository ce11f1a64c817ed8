import type { TRPCDefaultErrorData, TRPCDefaultErrorShape, TRPCError } from '@trpc/server'
import { DatabaseUnavailableError } from '../../db/errors.js'
import { causesOf } from '../../shared/causes.js'
import type { Reason } from '../../shared/reasons.js'
import type { Task } from '../../shared/task.js'
import { TokenError } from '../verifier/token-error.js'
import { accessOf } from './context.js'

/** What `error.data` holds on the client, beside tRPC's own. */
export interface ErrorData extends TRPCDefaultErrorData {
  /** Why the caller was refused (UNAUTHORIZED, FORBIDDEN), or what cannot be reached (SERVICE_UNAVAILABLE). */
  reason?: Reason
  /** Messages by field (BAD_REQUEST). What is wrong with the input as a whole stands under `root`. */
  fields?: Record<string, string[]>
  /** The task as it stands now (CONFLICT). */
  current?: Task
  /** What to look for in the server's log (INTERNAL_SERVER_ERROR). */
  requestId?: string
}

/** Cause of a CONFLICT: the task has another version by now. */
export class VersionConflict extends Error {
  override name = 'VersionConflict'

  constructor(readonly current: Task) {
    super('The task has changed since this version.')
  }
}

/** Cause of what happened before there was a context to read the request's id from. */
export class RequestFailure extends Error {
  override name = 'RequestFailure'

  constructor(
    readonly requestId: string,
    options: ErrorOptions,
  ) {
    super('The request failed before it reached a procedure.', options)
  }
}

/** The reason of a refusal, where the error formatter is not ours: in `onError`, or in the formatter of a foreign `t`. */
export function reasonOf(error: unknown): Reason | undefined {
  return causesOf(error).find(isRefusal)?.reason
}

const isRequestFailure = (cause: Error) => cause instanceof RequestFailure

const isRefusal = (cause: Error) => cause instanceof TokenError || cause instanceof DatabaseUnavailableError

/** Shapes an error for the client: reasons, fields and the current task as data, and nothing of what we did not expect. */
export function formatError({
  error,
  shape,
  ctx,
}: {
  error: TRPCError
  shape: TRPCDefaultErrorShape
  ctx: object | undefined
}): Omit<TRPCDefaultErrorShape, 'data'> & { data: ErrorData } {
  const { stack: _, ...data } = shape.data
  if (error.code === 'INTERNAL_SERVER_ERROR') {
    const requestId = accessOf(ctx)?.requestId ?? causesOf(error).find(isRequestFailure)?.requestId
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

interface Issue {
  message: string
  path?: readonly (PropertyKey | { key: PropertyKey })[]
}

/** By shape and not by class: another copy of zod, and any other Standard Schema, has issues too. */
function fieldsOf(cause: unknown): Record<string, string[]> | undefined {
  if (!(cause instanceof Error && 'issues' in cause && Array.isArray(cause.issues))) return undefined
  const fields: Record<string, string[]> = {}
  for (const { path = [], message } of (cause.issues as Issue[]).slice(0, maxIssues)) {
    const keys = path.map(segment => String(typeof segment === 'object' ? segment.key : segment))
    const field = keys.join('.') || 'root'
    fields[field] = [...(Object.hasOwn(fields, field) ? (fields[field] ?? []) : []), message]
  }
  return fields
}

const messageOf = (fields: Record<string, string[]>) =>
  Object.entries(fields)
    .map(([field, messages]) => `${field === 'root' ? '' : `${field}: `}${messages.join(', ')}`)
    .join('; ')
