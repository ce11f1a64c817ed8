import { createAuthClient } from 'better-auth/client'
import { jwtClient } from 'better-auth/client/plugins'
import { betterAuthToken, createClient } from 'trpc-bearer/client'

const origin = process.env.API_URL ?? 'http://localhost:4000'
const authClient = createAuthClient({
  baseURL: origin,
  plugins: [jwtClient()],
  // A browser sends this header itself. It must be one of Better Auth's trusted origins.
  fetchOptions: { headers: { origin } },
})

const cookies: string[] = []
const { error } = await authClient.signUp.email(
  { name: 'Ann', email: `ann-${crypto.randomUUID()}@example.com`, password: crypto.randomUUID() },
  { onSuccess: ({ response }) => void cookies.push(...response.headers.getSetCookie()) },
)
if (error) throw new Error(`The sign-up failed: ${error.status} ${error.message}`)

// A browser keeps these cookies itself.
const headers = { cookie: cookies.map(cookie => cookie.split(';')[0]).join('; ') }
export const api = createClient({
  url: `${origin}/trpc`,
  cache: true, // this process calls as one person
  getToken: betterAuthToken({ token: () => authClient.token({ fetchOptions: { headers } }) }),
})
console.log(await api.me.query())
