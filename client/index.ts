export { type BearerAuth, type BearerAuthOptions, bearerAuth, UserChangedError } from './bearer-auth.js'
export { betterAuthToken } from './better-auth-token.js'
export { batchLimits, type ClientOptions, createClient, isApiError } from './client.js'
export type { GetToken, Subscribe } from './token-keeper.js'
