import { dehydrate, HydrationBoundary } from '@tanstack/react-query'
import { createTRPCOptionsProxy } from '@trpc/tanstack-react-query'
import { headers } from 'next/headers'
import type { AppRouter } from 'trpc-bearer/client'
import { createQueryClient } from 'trpc-bearer/react'
import { auth } from '@/lib/auth'
import { serverApi } from '@/lib/server-api'
import { SignIn } from './sign-in'
import { Tasks } from './tasks'

export default async function Page() {
  const session = await auth.api.getSession({ headers: await headers() })
  if (session === null) return <SignIn />
  const queryClient = createQueryClient()
  const trpc = createTRPCOptionsProxy<AppRouter>({ client: serverApi, queryClient })
  await queryClient.prefetchQuery(trpc.tasks.list.queryOptions())
  const me = await serverApi.me.query()
  return (
    <HydrationBoundary state={dehydrate(queryClient)}>
      <p>The server component has asked the API who you are: {me.email}.</p>
      <Tasks />
    </HydrationBoundary>
  )
}
