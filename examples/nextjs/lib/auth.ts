import 'server-only'
import { betterAuth } from 'better-auth'
import { nextCookies } from 'better-auth/next-js'
import { jwt } from 'better-auth/plugins'
import { authOptions } from './auth-options'

/** Better Auth inside of Next.js: it signs people in, and signs the tokens that the API verifies. */
export const auth = betterAuth({ ...authOptions, plugins: [jwt(), nextCookies()] })
