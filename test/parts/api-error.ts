import type { TRPCClientError } from '@trpc/client'
import type { AnyTRPCRouter } from '@trpc/server'
import { isApiError } from '../../client/index.js'
import type { AppRouter } from '../../server/index.js'

/** The typed error of a call. Throws if the call succeeds or fails otherwise. */
export async function refusalOf<TRouter extends AnyTRPCRouter = AppRouter>(
  call: Promise<unknown>,
): Promise<TRPCClientError<TRouter>> {
  const error: unknown = await call.then(
    () => new Error('The call was answered.'),
    cause => cause,
  )
  if (isApiError<TRouter>(error)) return error
  throw error
}
