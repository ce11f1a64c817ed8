import { jwtClient } from 'better-auth/client/plugins'
import { createAuthClient } from 'better-auth/react'
import { betterAuthToken } from 'trpc-bearer/client'
import { createBearerReact } from 'trpc-bearer/react'

// `CORS_ORIGINS=http://localhost:5173 npx trpc-bearer start` serves both.
const origin = 'http://localhost:4000'

export const authClient = createAuthClient({ baseURL: origin, plugins: [jwtClient()] })
export const apiOptions = { url: `${origin}/trpc`, getToken: betterAuthToken(authClient) }
export const { BearerProvider, useTRPC } = createBearerReact()
