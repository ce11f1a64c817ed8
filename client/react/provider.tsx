'use client'
import { type QueryClient, QueryClientProvider } from '@tanstack/react-query'
import type { AnyTRPCRouter } from '@trpc/server'
import { createTRPCContext } from '@trpc/tanstack-react-query'
import { type ReactNode, useEffect, useState, useSyncExternalStore } from 'react'
import type { AppRouter } from '../../shared/router-types.js'
import { type BearerAuth, bearerAuth } from '../bearer-auth.js'
import { type ClientOptions, createClient } from '../client.js'
import { createQueryClient } from './query-client.js'

/** The options of `createClient`, and the page below. They are read once, when the provider is mounted. */
export type BearerProviderProps = ClientOptions & {
  children?: ReactNode
  /** Makes the QueryClient of each user. @default createQueryClient */
  createQueryClient?: (() => QueryClient) | undefined
  /**
   * A server renders the page below with rows of the user (Next.js). For another user it is then removed, and the document is loaded
   * again, because what the server sent would bring the rows back. @default false
   */
  isServerRendered?: boolean | undefined
}

/** What {@link createBearerReact} returns. */
export interface BearerReact<TRouter extends AnyTRPCRouter> {
  /**
   * Provides the client, the token and TanStack Query to the page below. If another user signs in or somebody signs out, in any tab,
   * the page below is mounted again with an empty QueryClient, so it never shows what the former user has fetched or typed. What the former
   * page has not sent yet, such as a mutation that waits for a retry, fails with a `UserChangedError`.
   */
  BearerProvider: (props: BearerProviderProps) => ReactNode
  /** The procedures, with `queryOptions`, `infiniteQueryOptions`, `mutationOptions` and `queryKey` for TanStack Query. */
  useTRPC: TRPCHooks<TRouter>['useTRPC']
  /** The client of `createClient`, for a call outside of TanStack Query. */
  useTRPCClient: TRPCHooks<TRouter>['useTRPCClient']
}

interface UserProviderProps extends Pick<ClientOptions, 'url' | 'fetch'> {
  auth: BearerAuth
  children: ReactNode
  create: () => QueryClient
}

type TRPCHooks<TRouter extends AnyTRPCRouter> = ReturnType<typeof createTRPCContext<TRouter>>

/**
 * A provider and hooks for `@trpc/tanstack-react-query`.
 *
 * @example
 * export const { BearerProvider, useTRPC } = createBearerReact<AppRouter>()
 * <BearerProvider url="http://localhost:4000/trpc" getToken={betterAuthToken(authClient)}>…</BearerProvider>
 * const { data } = useQuery(useTRPC().tasks.list.queryOptions())
 */
export function createBearerReact<TRouter extends AnyTRPCRouter = AppRouter>(): BearerReact<TRouter> {
  const { TRPCProvider, useTRPC, useTRPCClient } = createTRPCContext<TRouter>()

  function BearerProvider({
    children,
    createQueryClient: create = createQueryClient,
    isServerRendered = false,
    ...options
  }: BearerProviderProps) {
    const [auth] = useState(() => options.auth ?? bearerAuth(options))
    const changes = useSyncExternalStore(auth.onUserChange, auth.userChanges, () => 0)
    const [firstChanges] = useState(changes)
    const isReloading = isServerRendered && changes !== firstChanges
    useEffect(() => {
      if (isReloading) Reflect.get(globalThis, 'location').reload()
    }, [isReloading])
    if (isReloading) return null
    return (
      <UserProvider key={changes} auth={auth} url={options.url} fetch={options.fetch} create={create}>
        {children}
      </UserProvider>
    )
  }

  /** What belongs to one user. */
  function UserProvider({ children, create, auth, ...endpoint }: UserProviderProps) {
    const [queryClient] = useState(create)
    const [trpcClient] = useState(() => createClient<TRouter>({ ...endpoint, auth: auth.forCurrentUser() }))
    return (
      <QueryClientProvider client={queryClient}>
        <TRPCProvider trpcClient={trpcClient} queryClient={queryClient}>
          {children}
        </TRPCProvider>
      </QueryClientProvider>
    )
  }

  return { BearerProvider, useTRPC, useTRPCClient }
}
