import {
  type BearerAuth,
  batchLimits,
  bearerAuth,
  betterAuthToken,
  createClient,
  isApiError,
  UserChangedError,
} from 'trpc-bearer/client'

export { batchLimits, bearerAuth, createClient, UserChangedError }
export const api = createClient({ url: 'http://localhost/trpc', getToken: () => null })
export const tasks = () => api.tasks.list.query()
export const auth: BearerAuth = bearerAuth({ getToken: () => null })
export const inferredAuth = bearerAuth({ getToken: () => null })
export const getToken = betterAuthToken({ token: async () => ({ data: null, error: null }) })
export const problem = (error: unknown) => isApiError(error) && error.data
