import { createAuthClient } from 'better-auth/client'
import { jwtClient } from 'better-auth/client/plugins'
import { startTypeScript } from './program.js'

/** Signs a user up at a Better Auth and returns `getToken` with the session cookie, as in a browser. */
export async function signUp(authUrl: string, name: string): Promise<() => Promise<string>> {
  const cookies: string[] = []
  const auth = createAuthClient({
    baseURL: authUrl,
    plugins: [jwtClient()],
    fetchOptions: { headers: { origin: new URL(authUrl).origin } },
  })
  const { error } = await auth.signUp.email(
    { name, email: `${name}-${crypto.randomUUID()}@example.com`, password: crypto.randomUUID() },
    { onSuccess: ({ response }) => void cookies.push(...response.headers.getSetCookie()) },
  )
  if (error) throw new Error(`Sign-up failed: ${error.status} ${error.message}`)
  const headers = { cookie: cookies.map(cookie => cookie.split(';')[0]).join('; ') }
  return async () => {
    const { data, error } = await auth.token({ fetchOptions: { headers } })
    if (error) throw new Error(`No token: ${error.status} ${error.message}`)
    return data.token
  }
}

/** Starts a Better Auth server in another process, on an empty PostgreSQL database. */
export async function startBetterAuth(
  databaseUrl: string,
  { algorithm = 'EdDSA', port = '0', tokenLife = '15m' } = {},
) {
  const child = startTypeScript('test/parts/better-auth-main.ts', {
    ISSUER_DATABASE_URL: databaseUrl,
    ISSUER_ALGORITHM: algorithm,
    ISSUER_PORT: port,
    ISSUER_TOKEN_LIFE: tokenLife,
  })
  const [, url = ''] = await child.waitForOutput(/^issuer at (\S+)$/m)
  return { ...child, url }
}
