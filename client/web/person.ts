import { jwtClient } from 'better-auth/client/plugins'
import { createAuthClient } from 'better-auth/react'
import { bearerAuth } from '../bearer-auth.js'
import { betterAuthToken } from '../better-auth-token.js'
import type { GetToken } from '../token-keeper.js'
import { createCallLog } from './panel/call-log.js'
import { createTokenWatch } from './panel/token-watch.js'
import { createStore } from './store.js'

/** Somebody who uses the page: an account, its token, and what was called with it. */
export type Person = ReturnType<typeof createPerson>

/** The person whose session the browser keeps in a cookie. */
export const createOwner = () =>
  createPerson(createAuthClient({ baseURL: location.origin, plugins: [jwtClient()] }), { isGuest: false })

/** A second person beside the owner. A browser has one cookie per site, so the guest's session is kept in memory. */
export async function createGuest(): Promise<Person> {
  let session = ''
  const authClient = createAuthClient({
    baseURL: location.origin,
    plugins: [jwtClient()],
    fetchOptions: {
      credentials: 'omit',
      auth: { type: 'Bearer', token: () => session },
      onSuccess: ({ response }) => {
        session = response.headers.get('set-auth-token') ?? session
      },
    },
  })
  const { error } = await authClient.signUp.email({
    name: 'Guest',
    email: `guest-${crypto.randomUUID().slice(0, 8)}@example.com`,
    password: crypto.randomUUID(),
  })
  if (error) throw new Error(error.message ?? 'The guest could not sign up.')
  return createPerson(authClient, { isGuest: true })
}

type AuthClient = ReturnType<typeof createAuthClient<{ plugins: [ReturnType<typeof jwtClient>] }>>

function createPerson(authClient: AuthClient, { isGuest }: { isGuest: boolean }) {
  const tokens = createTokenWatch(betterAuthToken(authClient) as GetToken, async () => {
    const { data, error } = await authClient.$fetch<{ token: string }>('/expired-token')
    if (error) throw new Error(`There is no expired token: ${error.status}`)
    return data.token
  })
  const calls = createCallLog()
  const isExpired = createStore(false)
  const auth = bearerAuth({ getToken: tokens.getToken, onSignedOut: () => isExpired.set(true) })
  auth.onUserChange(() => {
    tokens.clear()
    calls.clear()
  })
  return { authClient, isGuest, tokens, calls, auth, isExpired }
}
