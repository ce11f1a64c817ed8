import type { Operation, TRPCLink } from '@trpc/client'
import type { AnyTRPCRouter } from '@trpc/server'
import { observable } from '@trpc/server/observable'
import { BearerCall, DissolvedBatchError, numberOf } from './bearer-call.js'
import { CurrentUser, type Period } from './current-user.js'
import type { GetToken, Subscribe, TokenFacts } from './token-keeper.js'

/** Options of {@link bearerAuth}. */
export interface BearerAuthOptions {
  /**
   * Returns a JWT (Better Auth: `betterAuthToken(authClient)`), or null, undefined or '' if nobody is signed in. It is called if there is
   * no token in memory, 30 seconds before the token expires (after two thirds of a life under 90 seconds), and once after an
   * UNAUTHORIZED; never twice at once. Anything else that it returns, and no answer within 30 seconds, fails the call.
   */
  getToken: GetToken
  /**
   * Called when the API refuses the caller and a new token does not help, and when a new token is of another person: show the
   * sign-in. If it throws, the error goes to `console.error`.
   */
  onSignedOut?: (() => void) | undefined
  /**
   * Tells when the session changes, in this tab or in another: the token of the former session is then forgotten, and if the user has
   * changed, running calls fail. @default `getToken.subscribe`, which `betterAuthToken` provides
   */
  subscribe?: Subscribe | undefined
  /**
   * Keep the token between calls. On a server one client may serve several people, so each call asks `getToken`, and calls of different
   * people are not sent in one batch. @default true in a browser and in React Native, false elsewhere
   */
  cache?: boolean | undefined
}

/** What {@link bearerAuth} returns. */
export interface BearerAuth {
  /** Put it before the terminating link. It renews the token after a refusal and repeats the call once. */
  link: TRPCLink<AnyTRPCRouter>
  /**
   * The `headers` option of the terminating link. If `link` is used, an operation that did not pass it (or lost its context)
   * is sent without a token, because it is not known who made the call.
   */
  headers: (options?: HeadersOptions) => Promise<Record<string, string>>
  /** Forgets the token, and fails the calls that run with it. Call it when the user signs out. */
  clear: () => void
  /**
   * Calls `listen` when another user is signed in, or somebody signs in or out: what the page has fetched until then is not this user's.
   * `trpc-bearer/react` uses it. Without `subscribe` it is noticed by `clear()`, by a refusal that a new token does not help, and by a token
   * of another person; a sign-in is not.
   *
   * @returns a function that stops it
   */
  onUserChange: (listen: () => void) => () => void
  /** How often the user has changed so far. */
  userChanges: () => number
  /**
   * The same, for a page of the user who is signed in now: once that user has left, its calls fail with a {@link UserChangedError}, also
   * those that have waited for a retry until then. Of nobody's page it lasts until the user who signs in next has left.
   */
  forCurrentUser: () => BearerAuth
  /** The token is kept between calls, so that calls can be sent in batches. */
  cache: boolean
}

/** tRPC's links call `headers` with one operation or with those of a batch. */
type HeadersOptions = { op: CallOperation } | { opList: readonly CallOperation[] }
type CallOperation = Pick<Operation, 'context'>

/** On a server there is neither a window nor React Native. */
function isOneUser(): boolean {
  return 'window' in globalThis || Reflect.get(globalThis, 'navigator')?.product === 'ReactNative'
}

/**
 * Keeps a caller's token for a tRPC client: in memory only, sent as `Authorization: Bearer` (RFC 6750 section 2.1), renewed
 * before it expires and after a refusal. Use it to build your own chain of links; `createClient` contains it.
 *
 * @example
 * const auth = bearerAuth({ getToken })
 * createTRPCClient<AppRouter>({
 *   links: [auth.link, httpBatchLink({ url, transformer, headers: auth.headers, ...batchLimits })],
 * })
 */
export function bearerAuth({
  getToken,
  onSignedOut,
  subscribe = getToken.subscribe,
  cache = isOneUser(),
}: BearerAuthOptions): BearerAuth {
  const user = new CurrentUser<BearerCall>({ getToken, subscribe, cache, onSignedOut })
  let isLinked = false

  const headers: BearerAuth['headers'] = async options => {
    const ops = options === undefined ? [] : 'opList' in options ? options.opList : [options.op]
    const numbers = ops.map(numberOf)
    // It is not known who made a call without a number.
    if (isLinked && numbers.includes(undefined)) return {}
    const batch = numbers.flatMap(number => user.calls.get(number ?? 0) ?? [])
    // The others were aborted, or are calls of a former user.
    if (isLinked && batch.length < numbers.length) {
      if (batch.length === 0) return {}
      throw new DissolvedBatchError()
    }
    const facts = batch.length === 0 ? await user.token() : tokenOfBatch(batch, cache)
    for (const call of batch) Object.assign(call, { sent: facts, isWaiting: false })
    const header: Record<string, string> = facts === null ? {} : { authorization: `Bearer ${facts.token}` }
    return header
  }

  /** @param period of the page that makes the calls, if it is known */
  const of = (period?: Period): BearerAuth => ({
    link: () => {
      isLinked = true
      return request =>
        observable(observer => {
          const call = new BearerCall(user, period, request, observer)
          call.start()
          return call.close
        })
    },
    headers,
    cache,
    clear: () => user.clear(),
    onUserChange: listen => user.onChange(listen),
    userChanges: () => user.changes,
    forCurrentUser: () => of(user.period),
  })
  return of()
}

/** Calls that were made at the same time may have different tokens of one person: then the newest is sent. */
function tokenOfBatch(batch: readonly BearerCall[], isOneUser: boolean): TokenFacts | null {
  const sent = batch.flatMap(call => call.sent ?? [])
  const newest = sent.at(-1) ?? null
  const isOneToken = sent.every(({ token }) => token === newest?.token)
  const isOnePerson = sent.every(({ person }) => person !== undefined && person === newest?.person)
  const isComplete = isOneUser || sent.length === 0 || sent.length === batch.length
  if (isComplete && (isOneToken || isOnePerson)) return newest
  throw new Error('A batch has calls of different people. On a server use httpLink instead of httpBatchLink.')
}
