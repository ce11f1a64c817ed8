'use client'
import { type QueryClient, QueryClientProvider } from '@tanstack/react-query'
import type { AnyTRPCRouter } from '@trpc/server'
import { createTRPCContext } from '@trpc/tanstack-react-query'
import { Fragment, type ReactNode, useEffect, useState } from 'react'
import type { AppRouter } from '../../shared/router-types.js'
import { bearerAuth } from '../bearer-auth.js'
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
   * the page below is mounted again with an empty QueryClient, so it never shows what the former user has fetched or typed.
   */
  BearerProvider: (props: BearerProviderProps) => ReactNode
  /** The procedures, with `queryOptions`, `infiniteQueryOptions`, `mutationOptions` and `queryKey` for TanStack Query. */
  useTRPC: TRPCHooks<TRouter>['useTRPC']
  /** The client of `createClient`, for a call outside of TanStack Query. */
  useTRPCClient: TRPCHooks<TRouter>['useTRPCClient']
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
    const [trpcClient] = useState(() =>
      createClient<TRouter>({ url: options.url, fetch: options.fetch, auth }),
    )
    const [{ queryClient, number }, setUser] = useState(() => ({ queryClient: create(), number: 0 }))
    const [isReloading, setReloading] = useState(false)
    useEffect(
      () =>
        auth.onUserChange(() => {
          if (isServerRendered) {
            setReloading(true)
            Reflect.get(globalThis, 'location').reload()
          }
          setUser(user => {
            user.queryClient.clear()
            return { queryClient: create(), number: user.number + 1 }
          })
        }),
      [auth, create, isServerRendered],
    )
    return (
      <QueryClientProvider client={queryClient}>
        <TRPCProvider trpcClient={trpcClient} queryClient={queryClient}>
          <Fragment key={number}>{isReloading ? null : children}</Fragment>
        </TRPCProvider>
      </QueryClientProvider>
    )
  }

  return { BearerProvider, useTRPC, useTRPCClient }
}
