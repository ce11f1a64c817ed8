import type { TRPCDefaultErrorData, TRPCDefaultErrorShape } from '@trpc/server'
import type { Reason } from './reasons.js'
import type { Task } from './task.js'

/** `error.data` on the client: tRPC's own fields and these. */
export interface ErrorData extends TRPCDefaultErrorData {
  /** Why the caller was refused (UNAUTHORIZED, FORBIDDEN) or what is down (SERVICE_UNAVAILABLE). */
  reason?: Reason
  /** Messages by field (BAD_REQUEST). Problems of the input as a whole are under `root`. */
  fields?: Record<string, string[]>
  /** The current task (CONFLICT). */
  current?: Task
  /** Id of the request in the server's log (INTERNAL_SERVER_ERROR). */
  requestId?: string
}

/** An error as the API sends it. */
export interface ErrorShape extends Omit<TRPCDefaultErrorShape, 'data'> {
  data: ErrorData
}
