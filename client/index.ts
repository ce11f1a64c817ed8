export { type BearerAuth, type BearerAuthOptions, bearerAuth } from './bearer-auth.js'
export { type ClientOptions, createClient, isApiError } from './client.js'
