import * as trpc from '@trpc/client'
import {
  createTRPCClient,
  httpBatchLink,
  httpLink,
  splitLink,
  type TRPCClient,
  TRPCClientError,
  type TRPCLink,
} from '@trpc/client'
import type { AnyTRPCRouter } from '@trpc/server'
import type { AppRouter } from '../shared/router-types.js'
import { transformer } from '../shared/transformer.js'
import { type BearerAuth, type BearerAuthOptions, bearerAuth } from './bearer-auth.js'
import { checkedFetch } from './checked-fetch.js'

// A namespace, because a named import that is missing fails before any message.
const { isNonJsonSerializable } = trpc
if (isNonJsonSerializable === undefined)
  throw new Error('trpc-bearer needs @trpc/client 11.22.1 or later: npm install @trpc/client@^11.22.1')

interface Endpoint {
  /** URL of the procedures, such as `https://api.example.com/trpc`, or a path on the page's own origin, such as `/api/trpc`. */
  url: string
  /** @default the global fetch */
  fetch?: typeof globalThis.fetch | undefined
}

/** Options of {@link createClient}: `getToken`, or your own `auth`, so that you can call `auth.clear()` at a sign-out. */
export type ClientOptions = Endpoint &
  (
    | (BearerAuthOptions & { auth?: never })
    | ({ auth: BearerAuth } & { [Option in keyof BearerAuthOptions]?: never })
  )

/** Limits of a batch that the API accepts, for an `httpBatchLink` of your own: 50 calls, and a URL that every server takes. */
export const batchLimits = { maxItems: 50, maxURLLength: 8_000 }

/**
 * A typed client of the API. It gets, sends and renews the token, and batches calls within the server's limits; on a server, where
 * one client may serve several people, it sends each call alone. Errors are typed: `error.data.reason` and `error.data.fields`.
 *
 * @throws TypeError if `url` is neither an http(s) URL nor a path such as `/api/trpc`, which is of the page's own origin
 * @example
 * const auth = bearerAuth({ getToken: betterAuthToken(authClient) })
 * const api = createClient({ url: 'http://127.0.0.1:4000/trpc', auth })
 * const { items } = await api.tasks.list.query()
 *
 * @example
 * const api = createClient<typeof yourRouter>({ url, getToken })
 */
export function createClient<TRouter extends AnyTRPCRouter = AppRouter>({
  url: givenUrl,
  fetch: givenFetch,
  ...options
}: ClientOptions): TRPCClient<TRouter> {
  const auth = options.auth ?? bearerAuth(options)
  const common = {
    url: absoluteUrl(givenUrl),
    fetch: checkedFetch(givenFetch),
    transformer,
    headers: auth.headers,
  }
  const links: TRPCLink<AppRouter>[] = [
    auth.link as TRPCLink<AppRouter>,
    splitLink({
      // A form or a stream of bytes cannot be a part of a batch.
      condition: ({ input }) => !auth.cache || isNonJsonSerializable(input),
      true: httpLink<AppRouter>(common),
      false: splitLink({
        condition: ({ type }) => type === 'mutation',
        // 15 of the largest tasks, with every character escaped, fit into a body of 1 MB.
        true: httpBatchLink<AppRouter>({ ...common, ...batchLimits, maxItems: 15 }),
        false: httpBatchLink<AppRouter>({ ...common, ...batchLimits }),
      }),
    }),
  ]
  // TypeScript cannot check that a generic router has our transformer.
  return createTRPCClient<TRouter>({ links: links as TRPCLink<AnyTRPCRouter>[] as TRPCLink<TRouter>[] })
}

function absoluteUrl(url: string): string {
  const page: string | undefined = Reflect.get(globalThis, 'location')?.href
  // A component of a page is also rendered on a server, where it makes no calls.
  if (page === undefined && /^\/(?!\/)/.test(url)) return url
  try {
    const { protocol, href } = new URL(url, page)
    if (protocol === 'http:' || protocol === 'https:') return href
  } catch {}
  throw new TypeError(
    `url: ${JSON.stringify(url)} is not the URL of an API. Use http://127.0.0.1:4000/trpc, or in a page a path such as /api/trpc.`,
  )
}

/**
 * Narrows the error of a call, so that `error.data.reason`, `.fields` and `.current` are typed.
 *
 * @example
 * if (isApiError(error) && error.data?.code === 'CONFLICT') show(error.data.current)
 */
export function isApiError<TRouter extends AnyTRPCRouter = AppRouter>(
  error: unknown,
): error is TRPCClientError<TRouter> {
  return error instanceof TRPCClientError
}
