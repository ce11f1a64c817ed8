import { createAuthClient } from 'better-auth/client'
import { jwtClient } from 'better-auth/client/plugins'
import { bearerAuth, betterAuthToken, createClient } from 'trpc-bearer/client'

/** Better Auth's client for the session, and the API's client for the data. */
export function connect(authUrl: string, apiUrl: string) {
  const authClient = createAuthClient({ baseURL: authUrl, plugins: [jwtClient()] })
  const auth = bearerAuth({
    getToken: betterAuthToken(authClient),
    onSignedOut: () => console.log('Signed out: show the sign-in page.'),
  })
  const api = createClient({ url: `${apiUrl}/trpc`, auth })
  const signOut = async () => {
    await authClient.signOut()
    auth.clear() // forget the token: it would be good until it expires
  }
  return { authClient, api, signOut }
}
