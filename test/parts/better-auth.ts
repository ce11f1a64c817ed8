import { createAuthClient } from 'better-auth/client'
import { jwtClient, organizationClient } from 'better-auth/client/plugins'
import { startTypeScript } from './program.js'

/** Signs a user up at a Better Auth and returns `getToken` with the session cookie, as in a browser. */
export async function signUp(authUrl: string, name: string): Promise<() => Promise<string>> {
  const { getToken } = await startSession(authUrl, name)
  return getToken
}

/** Signs a user up at a Better Auth and returns its client, which keeps the session's cookies, as in a browser. */
export async function startSession(authUrl: string, name: string) {
  const email = `${name}-${crypto.randomUUID()}@example.com`
  const cookies = new Map<string, string>()
  const auth = createAuthClient({
    baseURL: authUrl,
    plugins: [jwtClient(), organizationClient()],
    fetchOptions: {
      headers: { origin: new URL(authUrl).origin },
      onRequest({ headers }) {
        headers.set('cookie', [...cookies].map(pair => pair.join('=')).join('; '))
      },
      onResponse({ response }) {
        for (const cookie of response.headers.getSetCookie()) {
          const [, key = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
          cookies.set(key, value)
        }
      },
    },
  })
  await answerOf(auth.signUp.email({ name, email, password: crypto.randomUUID() }))
  const getToken = async () => (await answerOf(auth.token())).token
  return { auth, email, getToken }
}

/** What Better Auth answers. Throws if it refuses. */
export async function answerOf<T>(
  call: Promise<{ data: T | null; error: { status: number; message?: string | undefined } | null }>,
): Promise<T> {
  const { data, error } = await call
  if (error || data === null) throw new Error(`Better Auth refused: ${error?.status} ${error?.message}`)
  return data
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
