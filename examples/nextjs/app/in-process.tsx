'use client'
import { useQuery } from '@tanstack/react-query'
import { betterAuthToken, createClient } from 'trpc-bearer/client'
import { authClient } from '@/lib/auth-client'

/** The router that runs inside of Next.js, on the origin of the page. */
const inProcessApi = createClient({ url: '/api/trpc', getToken: betterAuthToken(authClient) })

export function InProcess() {
  const { data } = useQuery({ queryKey: ['in process'], queryFn: () => inProcessApi.tasks.list.query() })
  return <p>The API inside of Next.js, at /api/trpc, counts {data?.items.length ?? '…'} tasks.</p>
}
