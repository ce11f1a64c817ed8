import { defaultShouldDehydrateQuery, QueryClient, type QueryClientConfig } from '@tanstack/react-query'
import { TRPCClientError } from '@trpc/client'
import { transformer } from '../../shared/transformer.js'
import { UserChangedError } from '../current-user.js'

const maxRetries = 3

/**
 * A QueryClient for the API: it retries only what a retry can help, waits as long as `Retry-After` says, and carries dates from a
 * server component to the page. Data counts as fresh for five seconds, so a page does not fetch again what its server has just fetched.
 *
 * @param config options of TanStack Query, which win over these defaults
 */
export function createQueryClient({ defaultOptions, ...config }: QueryClientConfig = {}): QueryClient {
  return new QueryClient({
    ...config,
    defaultOptions: {
      ...defaultOptions,
      queries: { staleTime: 5_000, retry: shouldRetry, retryDelay, ...defaultOptions?.queries },
      dehydrate: {
        serializeData: transformer.output.serialize,
        shouldDehydrateQuery: query => defaultShouldDehydrateQuery(query) || query.state.status === 'pending',
        ...defaultOptions?.dehydrate,
      },
      hydrate: { deserializeData: transformer.output.deserialize, ...defaultOptions?.hydrate },
    },
  })
}

/** A refusal stays one. An outage, or no answer at all, may end. */
function shouldRetry(failures: number, error: Error): boolean {
  if (failures >= maxRetries || !(error instanceof TRPCClientError)) return false
  if (error.cause instanceof UserChangedError) return false
  const status: unknown = error.data?.httpStatus
  return typeof status !== 'number' || status >= 500 || status === 429
}

/** In milliseconds. @see RFC 9110 section 10.2.3 */
function retryDelay(failures: number, error: Error): number {
  const response = error instanceof TRPCClientError ? error.meta?.response : undefined
  const seconds = response instanceof Response ? Number(response.headers.get('retry-after')) : 0
  return Math.max(seconds * 1_000 || 0, Math.min(1_000 * 2 ** failures, 10_000))
}
