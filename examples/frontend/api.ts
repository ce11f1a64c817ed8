import { createAuthClient } from 'better-auth/client'
import { jwtClient } from 'better-auth/client/plugins'
import { betterAuthToken, createClient } from 'trpc-bearer/client'

/** What a frontend needs: Better Auth's client for the session, ours for the data. */
export function connect(authUrl: string, apiUrl: string) {
  const authClient = createAuthClient({ baseURL: authUrl, plugins: [jwtClient()] })
  const api = createClient({
    url: `${apiUrl}/trpc`,
    getToken: betterAuthToken(() => authClient.token()),
    onSignedOut: () => console.log('Signed out: show the sign-in page.'),
  })
  return { authClient, api }
}
