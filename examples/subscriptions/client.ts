import { createTRPCClient, httpBatchLink, httpSubscriptionLink, splitLink } from '@trpc/client'
import { EventSource } from 'eventsource'
import { batchLimits, bearerAuth, type GetToken } from 'trpc-bearer/client'
import { transformer } from 'trpc-bearer/shared'
import type { liveRouter } from './router.js'

/** A client whose subscriptions send the token in a header, which the EventSource of a browser cannot do. */
export function createLiveClient(url: string, getToken: GetToken) {
  const auth = bearerAuth({ getToken })
  return createTRPCClient<typeof liveRouter>({
    links: [
      auth.link,
      splitLink({
        condition: ({ type }) => type === 'subscription',
        true: httpSubscriptionLink({
          url,
          transformer,
          EventSource,
          eventSourceOptions: ({ op }) => ({
            fetch: async (input: string | URL, init: RequestInit) =>
              fetch(input, { ...init, headers: { ...init.headers, ...(await auth.headers({ op })) } }),
          }),
        }),
        false: httpBatchLink({ url, transformer, headers: auth.headers, ...batchLimits }),
      }),
    ],
  })
}
