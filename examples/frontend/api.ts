import { createAuthClient } from 'better-auth/client'
import { jwtClient } from 'better-auth/client/plugins'
import { bearerAuth, betterAuthToken, createClient } from 'trpc-bearer/client'

/** What a frontend needs: Better Auth's client for the session, and ours for the data. */
export function connect(authUrl: string, apiUrl: string) {
  const authClient = createAuthClient({ baseURL: authUrl, plugins: [jwtClient()] })
  const auth = bearerAuth({
    getToken: betterAuthToken(() => authClient.token()),
    onSignedOut: () => console.log('Signed out: show the sign-in page.'),
  })
  const api = createClient({ url: `${apiUrl}/trpc`, auth })
  const signOut = async () => {
    await authClient.signOut()
    auth.clear() // otherwise this user's token is used until it expires
  }
  return { authClient, api, signOut }
}
