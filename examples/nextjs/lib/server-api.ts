import 'server-only'
import { headers } from 'next/headers'
import { createClient } from 'trpc-bearer/client'
import { auth } from './auth'

/** The API, called as the user of the current request. */
export const serverApi = createClient({
  url: `${process.env.API_URL}/trpc`,
  getToken: async () => (await auth.api.getToken({ headers: await headers() })).token,
})
