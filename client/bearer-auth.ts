import { TRPCClientError, type TRPCLink } from '@trpc/client'
import type { AnyTRPCRouter } from '@trpc/server'
import { observable } from '@trpc/server/observable'
import { callHook } from '../shared/error-handling.js'
import { type GetToken, type Subscribe, type TokenFacts, TokenKeeper } from './token-keeper.js'

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
   * Calls `listen` when somebody signs in or out, or another user is signed in: what the page has fetched until then is not this
   * user's. `trpc-bearer/react` uses it. Needs `subscribe`; without it, only `clear()` and the token of another user are noticed.
   *
   * @returns a function that stops it
   */
  onUserChange: (listen: () => void) => () => void
  /** The token is kept between calls, so that calls can be sent in batches. */
  cache: boolean
}

/**
 * Cause of the error of a call that ran while its user signed out or somebody else signed in, perhaps in another tab. The API may have
 * run it. It is not repeated as the new user.
 */
export class UserChangedError extends Error {
  override name = 'UserChangedError'

  constructor() {
    super('The user has signed out or changed while the call was running. It was not repeated.')
  }
}

/** A batch has a call that was aborted, or whose user has changed. It is not sent, and its other calls are sent again. */
class DissolvedBatchError extends Error {
  override name = 'DissolvedBatchError'

  constructor() {
    super('The batch was not sent, because one of its calls was aborted or its user has changed.')
  }
}

interface Operation {
  context: Record<string, unknown>
}

/** tRPC's links call `headers` with one operation or with those of a batch. */
type HeadersOptions = { op: Operation } | { opList: readonly Operation[] }

/** Key of the call's number in the operation's context: not a secret, and it survives a deep copy. */
const callNumber = 'trpc-bearer.call'
/** How long to wait for a token that is not valid yet, because the clock of the issuer is ahead of the clock of the API. */
const notYetValidMs = [1_000, 2_000, 4_000, 8_000]

/** A subscription that is refused sooner after its token was renewed is refused for good. */
const minSubscriptionMs = 5_000

let lastNumber = 0

type CallError = TRPCClientError<AnyTRPCRouter>

/** State of a running call. It is not kept in the operation, because tRPC's `loggerLink` prints that. */
interface Call {
  /** Sent in the last attempt. */
  sent: TokenFacts | null
  /** True until the call is sent with its token. */
  isWaiting: boolean
  /** Ends it because its user has changed. */
  leave: () => void
}

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
  const tokens = new TokenKeeper(getToken, cache)
  const calls = new Map<number, Call>()
  let isLinked = false
  /** Grows when the user changes. */
  let epoch = 0
  let signedOut = false
  let lastRefused: string | null = null
  /** Whose token was sent, until the sign-out is reported. */
  let person: string | undefined
  /** The user of the session that `subscribe` watches. Undefined before its first report. */
  let sessionUser: string | null | undefined
  /** Number of the last call before a change of the session was announced whose user is not known yet. */
  let lastOfSession: number | undefined
  let isWatching = false
  let reports = 0
  const listeners = new Set<() => void>()
  /** The user that the listeners know of. Undefined before the first report. */
  let knownUser: string | null | undefined

  const tellListeners = (userId: string | null | undefined) => {
    knownUser = userId
    for (const listen of listeners)
      callHook(listen, error => console.error('A listener of onUserChange threw an error:', error))
  }

  const clear = () => {
    epoch++
    tokens.clear()
    forgetUser()
  }

  /** Fails the running calls, by default all of them, and those of the former user if a change of the session was announced. */
  const forgetUser = (lastOfUser = Number.POSITIVE_INFINITY) => {
    signedOut = false
    lastRefused = null
    person = undefined
    for (const [number, call] of [...calls]) {
      if (number > lastOfUser) continue
      calls.delete(number)
      call.leave()
    }
  }

  const watch = () => {
    if (!cache || isWatching || subscribe === undefined) return
    isWatching = true
    subscribe(userId => {
      if (userId === undefined) {
        lastOfSession = lastNumber
        return tokens.clear()
      }
      const before = sessionUser
      const lastOfUser = lastOfSession
      sessionUser = userId
      lastOfSession = undefined
      reports++
      const isFirst = before === undefined
      const isTokenOfOther = tokens.kept !== null && tokens.kept.subject !== userId
      if (!isFirst && before !== null && before !== userId) {
        if (lastOfUser === undefined) clear()
        else {
          if (isTokenOfOther) tokens.clear()
          forgetUser(lastOfUser)
        }
      }
      // The same user may have another role now, or another organisation. Before the first report the token may be of somebody else.
      else if (!isFirst || isTokenOfOther) tokens.clear()
      if (isFirst ? isTokenOfOther : knownUser !== userId) tellListeners(userId)
      knownUser = userId
    })
  }

  /** @param number of the call that needs it */
  const currentToken = async (number = 0): Promise<TokenFacts | null> => {
    watch()
    const [before, reported] = [epoch, reports]
    let facts = await tokens.current()
    if (reported !== reports && facts?.subject !== undefined && facts.subject !== sessionUser) {
      // The session was reported while this token was on its way, which may be of the user before.
      tokens.clear()
      facts = await tokens.current()
    }
    // It is the token of a former user.
    if (before !== epoch) return null
    if (!cache || facts?.person === undefined) return facts
    if (person !== undefined && person !== facts.person) {
      if (lastOfSession !== undefined && number > lastOfSession) forgetUser(lastOfSession)
      else {
        clear()
        // With `subscribe` the page follows the session by itself.
        if (subscribe === undefined) {
          tellListeners(undefined)
          reportSignedOut()
        }
        throw new UserChangedError()
      }
    }
    person = facts.person
    return facts
  }

  /** Once, until a call is answered again. */
  const reportSignedOut = () => {
    const isFirst = !signedOut || !cache
    person = undefined
    if (isFirst)
      callHook(
        () => onSignedOut?.(),
        error => console.error('The onSignedOut option threw an error:', error),
      )
    // Set after the hook, which may call clear() and then make calls that are refused too: it would never end.
    signedOut = true
  }

  const headers: BearerAuth['headers'] = async options => {
    const ops = options === undefined ? [] : 'opList' in options ? options.opList : [options.op]
    const numbers = ops.map(numberOf)
    // It is not known who made a call without a number.
    if (isLinked && numbers.includes(undefined)) return {}
    const batch = numbers.flatMap(number => calls.get(number ?? 0) ?? [])
    // The others were aborted, or are calls of a former user.
    if (isLinked && batch.length < numbers.length) {
      if (batch.length === 0) return {}
      throw new DissolvedBatchError()
    }
    const facts = batch.length === 0 ? await currentToken() : tokenOfBatch(batch, cache)
    for (const call of batch) Object.assign(call, { sent: facts, isWaiting: false })
    const header: Record<string, string> = facts === null ? {} : { authorization: `Bearer ${facts.token}` }
    return header
  }

  const link: BearerAuth['link'] = () => {
    isLinked = true
    return ({ op, next }) =>
      observable(observer => {
        const number = ++lastNumber
        const call: Call = { sent: null, isWaiting: true, leave: () => {} }
        calls.set(number, call)
        // Copied, because callers may pass one context object to several calls.
        const ownOp = { ...op, context: { ...op.context, [callNumber]: number } }
        const waits = [...notYetValidMs]
        let timer: ReturnType<typeof setTimeout> | undefined
        let subscription = { unsubscribe() {} }
        let closed = false
        const close = () => {
          closed = true
          calls.delete(number)
          clearTimeout(timer)
          op.signal?.removeEventListener('abort', abort)
          subscription.unsubscribe()
        }
        const fail = (error: CallError) => {
          // The response in it has the URL with the inputs of the whole batch, and console.error would print it.
          Object.defineProperty(error, 'meta', { enumerable: false })
          if (!closed) observer.error(error)
          closed = true
        }
        call.leave = () => {
          // A call without a token is nobody's: it goes on, and is not renewed.
          if (!call.isWaiting && call.sent === null) return
          fail(TRPCClientError.from(new UserChangedError()))
          close()
        }
        const failSignedOut = (error: CallError) => {
          if (!calls.has(number)) return fail(error)
          lastRefused = call.sent?.token ?? null
          fail(error)
          reportSignedOut()
        }
        // After a call is sent, the terminating link handles its signal.
        const abort = () => {
          if (!call.isWaiting) return
          const error = new Error('The call was aborted while it waited for a token.')
          fail(TRPCClientError.from(Object.assign(error, { name: 'AbortError' })))
          close()
        }
        let isRenewed = false
        let dissolved = 0
        /** Of the last attempt. */
        let refusal: CallError | null = null
        let sentAt = Date.now()
        /** Once, and a subscription each time that it has lasted for a while. */
        const mayRenew = () =>
          !isRenewed || (op.type === 'subscription' && Math.abs(Date.now() - sentAt) >= minSubscriptionMs)
        const attempt = () => {
          call.isWaiting = true
          currentToken(number)
            .then(facts => {
              if (closed) return
              if (refusal !== null && facts === null) return failSignedOut(refusal)
              // It is somebody's call, and they have signed out before it was sent.
              if (call.sent !== null && facts === null)
                return fail(TRPCClientError.from(new UserChangedError()))
              if (isOtherPerson(call.sent, facts)) return fail(TRPCClientError.from(new UserChangedError()))
              call.sent = facts
              send()
            })
            // getToken failed, so it is not known whether the user is signed out. Or the next link has thrown.
            .catch(cause => fail(TRPCClientError.from(cause)))
        }
        let lastEventId: string | undefined
        const send = () => {
          const input = inputAfter(lastEventId, op.input)
          sentAt = Date.now()
          subscription = next({ ...ownOp, input }).subscribe({
            next(value) {
              const { result } = value
              call.isWaiting = false
              // The server reports that a subscription has started before it refuses its token.
              const isAnswer = result.type === undefined || result.type === 'data'
              if (isAnswer && call.sent !== null && call.sent.token !== lastRefused) signedOut = false
              if ('id' in result && typeof result.id === 'string') lastEventId = result.id
              observer.next(value)
            },
            error(error) {
              if (error.cause instanceof DissolvedBatchError && calls.has(number)) {
                // Later each time, so that it meets other calls.
                timer = setTimeout(attempt, dissolved++ * 10)
                return
              }
              if (dataField(error, 'code') !== 'UNAUTHORIZED') return fail(error)
              const reason = dataField(error, 'reason')
              if (reason === 'not_yet_valid') return retryLater(error)
              tokens.forget(call.sent?.token)
              // Who has signed in meanwhile did not make a call of nobody.
              if (!mayRenew() || reason === 'revoked' || call.sent === null || !calls.has(number))
                return failSignedOut(error)
              isRenewed = true
              refusal = error
              attempt()
            },
            complete: () => observer.complete(),
          })
        }
        const retryLater = (error: CallError) => {
          const wait = waits.shift()
          if (wait === undefined || !calls.has(number)) return fail(error)
          refusal = error
          call.isWaiting = true
          timer = setTimeout(attempt, wait)
        }
        op.signal?.addEventListener('abort', abort)
        if (op.signal?.aborted) abort()
        else attempt()
        return close
      })
  }

  return {
    link,
    headers,
    cache,
    clear() {
      clear()
      if (knownUser !== null) tellListeners(null)
    },
    onUserChange(listen) {
      listeners.add(listen)
      watch()
      return () => listeners.delete(listen)
    },
  }
}

/** False if one of the tokens does not say whose it is. */
const isOtherPerson = (before: TokenFacts | null, now: TokenFacts | null) =>
  before?.person !== undefined && now?.person !== undefined && before.person !== now.person

/** Calls that were made at the same time may have different tokens of one person: then the newest is sent. */
function tokenOfBatch(batch: readonly Call[], isOneUser: boolean): TokenFacts | null {
  const sent = batch.flatMap(call => call.sent ?? [])
  const newest = sent.at(-1) ?? null
  const isOneToken = sent.every(({ token }) => token === newest?.token)
  const isOnePerson = sent.every(({ person }) => person !== undefined && person === newest?.person)
  const isComplete = isOneUser || sent.length === 0 || sent.length === batch.length
  if (isComplete && (isOneToken || isOnePerson)) return newest
  throw new Error('A batch has calls of different people. On a server use httpLink instead of httpBatchLink.')
}

/** The input of a subscription that goes on after the last event of tRPC's `tracked`. */
const inputAfter = (lastEventId: string | undefined, input: unknown) =>
  lastEventId === undefined || (typeof input !== 'object' && input !== undefined)
    ? input
    : { ...input, lastEventId }

function numberOf({ context }: Operation): number | undefined {
  const number = context[callNumber]
  return typeof number === 'number' ? number : undefined
}

function dataField(error: unknown, key: 'code' | 'reason'): unknown {
  const data: unknown = error instanceof TRPCClientError ? error.data : undefined
  return typeof data === 'object' && data !== null ? Reflect.get(data, key) : undefined
}
