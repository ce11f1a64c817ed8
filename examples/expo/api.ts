import { expoClient } from '@better-auth/expo/client'
import { jwtClient } from 'better-auth/client/plugins'
import { createAuthClient } from 'better-auth/react'
import * as SecureStore from 'expo-secure-store'
import { betterAuthToken } from 'trpc-bearer/client'
import { createBearerReact } from 'trpc-bearer/react'

// `npx trpc-bearer start` serves both. An Android device reaches it after `adb reverse tcp:4000 tcp:4000`.
const origin = 'http://localhost:4000'

export const authClient = createAuthClient({
  baseURL: origin,
  plugins: [
    jwtClient(),
    expoClient({
      scheme: 'tasks',
      storagePrefix: 'tasks',
      storage: SecureStore,
      cookiePrefix: 'trpc-bearer',
    }),
  ],
  // Your own Better Auth has the plugin `expo()` and trusts `tasks://`. Then leave this and the cookiePrefix out.
  fetchOptions: { headers: { origin } },
})
export const apiOptions = { url: `${origin}/trpc`, getToken: betterAuthToken(authClient) }
export const { BearerProvider, useTRPC } = createBearerReact()
