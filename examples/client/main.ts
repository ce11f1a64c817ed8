import { createAuthClient } from 'better-auth/client'
import { jwtClient } from 'better-auth/client/plugins'
import { betterAuthToken, createClient } from 'trpc-bearer/client'

const origin = 'http://localhost:4000' // npx trpc-bearer start serves Better Auth and the API here
export const authClient = createAuthClient({ baseURL: origin, plugins: [jwtClient()] })
export const api = createClient({
  url: `${origin}/trpc`, // or your own server: http://127.0.0.1:3000/trpc, or /api/trpc on the page's own origin
  getToken: betterAuthToken(authClient),
})
