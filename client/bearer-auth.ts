import { TRPCClientError, type TRPCLink } from '@trpc/client'
import type { AnyTRPCRouter } from '@trpc/server'
import { observable } from '@trpc/server/observable'
import { callHook } from '../shared/call-hook.js'
import { expiryOf } from './expiry.js'

/** Options of {@link bearerAuth}. */
export interface BearerAuthOptions {
  /**
   * Gets a JWT from where the person is signed in (Better Auth: `authClient.token()`), or null, undefined or '' when nobody is. Called when
   * there is no token in memory, when 30 seconds or less of its life are left, and once after an UNAUTHORIZED; never twice
   * at once. What is not a token by RFC 6750 is an error of the call.
   */
  getToken: () => Promise<string | null | undefined> | string | null | undefined
  /**
   * Called when the API refuses the caller and a new token does not help: show the sign-in. What it throws is reported by
   * `console.error`, and the call fails with its own error.
   */
  onSignedOut?: (() => void) | undefined
}

/** What {@link bearerAuth} makes. */
export interface BearerAuth {
  /** Goes before the terminating link: renews the token and repeats the call, once. */
  link: TRPCLink<AnyTRPCRouter>
  /**
   * The `headers` option of the terminating link. Where `link` is in use, an operation that has not passed it, or that has lost its
   * context on the way, is sent without a token: nobody knows whose it is.
   */
  headers: (options?: HeadersOptions) => Promise<Record<string, string>>
  /** Forgets the token, as when a person signs out. */
  clear: () => void
}

interface Sent {
  context: Record<string, unknown>
}

/** What the links of tRPC call `headers` with: one operation, or those of a batch. */
type HeadersOptions = { op: Sent } | { opList: readonly Sent[] }

interface Held {
  token: string
  /** Milliseconds since the epoch. */
  renewAt: number
}

const renewBefore = 30_000
/** Where an operation's context holds the number of its call: no secret, and still there in a deep copy. */
const callNumber = 'trpc-bearer.call'
/** What a header can carry (RFC 6750 section 2.1, `b64token`). */
const tokenPattern = /^[\w\-.~+/]+=*$/

let lastNumber = 0

/** What is known of a call under way. It is kept apart from the operation, which tRPC's `loggerLink` prints. */
interface Call {
  /** The token that it was last sent with. */
  token: string | null
  /** True until it has its token and is sent. */
  isWaiting: boolean
}

/**
 * Keeps a caller's token for a tRPC client: in memory only, sent as `Authorization: Bearer` (RFC 6750 section 2.1), renewed
 * before it expires and after a refusal. For people who build their own chain of links; `createClient` has it built in.
 *
 * @example
 * const auth = bearerAuth({ getToken })
 * createTRPCClient<AppRouter>({
 *   links: [auth.link, httpBatchLink({ url, transformer, headers: auth.headers })],
 * })
 */
export function bearerAuth({ getToken, onSignedOut }: BearerAuthOptions): BearerAuth {
  let held: Held | null = null
  let pending: Promise<string | null> | null = null
  /** Rises when a person signs out: no call with a number below may go on as whoever is signed in then. */
  let firstNumber = ++lastNumber
  let isLinked = false
  let signedOut = false
  let lastRefused: string | null = null
  const calls = new Map<number, Call>()

  const isOfNow = (number: number) => number > firstNumber

  const fetchToken = async (): Promise<string | null> => {
    const before = firstNumber
    const token = (await getToken()) || null
    if (before !== firstNumber) return null
    if (token !== null) assertToken(token)
    held = token === null ? null : { token, renewAt: expiryOf(token) - renewBefore }
    return token
  }

  const currentToken = async (): Promise<string | null> => {
    if (held !== null && Date.now() < held.renewAt) return held.token
    if (pending !== null) return pending
    const fetching = fetchToken().finally(() => {
      if (pending === fetching) pending = null
    })
    pending = fetching
    return fetching
  }

  const forget = (token: string | null) => {
    if (held?.token === token) held = null
  }

  const headers: BearerAuth['headers'] = async options => {
    const current = await currentToken()
    const ops = options === undefined ? [] : 'opList' in options ? options.opList : [options.op]
    const numbers = ops.map(numberOf)
    // Of several people in one request none speaks for the others: who is here now is refused and asks again.
    const mayCarry = numbers.every(number => (number === undefined ? !isLinked : isOfNow(number)))
    const token = mayCarry ? current : null
    for (const number of numbers) {
      const call = number === undefined ? undefined : calls.get(number)
      if (call !== undefined) Object.assign(call, { token, isWaiting: false })
    }
    const header: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` }
    return header
  }

  /** True when the call may be repeated: for the same person, with another token than the one that was refused. */
  const renew = async (number: number, refused: string | null): Promise<boolean> => {
    if (!isOfNow(number)) return false
    forget(refused)
    return (await currentToken()) !== null && isOfNow(number)
  }

  const link: BearerAuth['link'] = () => {
    isLinked = true
    return ({ op, next }) =>
      observable(observer => {
        const number = ++lastNumber
        const call: Call = { token: null, isWaiting: true }
        calls.set(number, call)
        // A copy: callers may give several calls the same context object.
        const ownOp = { ...op, context: { ...op.context, [callNumber]: number } }
        let subscription = { unsubscribe() {} }
        let closed = false
        const close = () => {
          closed = true
          calls.delete(number)
          op.signal?.removeEventListener('abort', abort)
          subscription.unsubscribe()
        }
        const fail = (error: Parameters<typeof observer.error>[0]) => {
          if (!closed) observer.error(error)
          closed = true
        }
        const refused = (error: Parameters<typeof observer.error>[0]) => {
          if (!isOfNow(number)) return fail(error)
          lastRefused = call.token
          const isNews = !signedOut
          signedOut = true
          fail(error)
          if (isNews)
            callHook(
              () => onSignedOut?.(),
              thrown => console.error('The onSignedOut option has thrown:', thrown),
            )
          // Also when the hook has called clear(): the calls that it makes may be refused too, and it would never end.
          signedOut = true
        }
        // Once a call is sent, the terminating link listens to its signal.
        const abort = () => {
          if (call.isWaiting)
            fail(
              TRPCClientError.from(new DOMException('Aborted while the token was asked for.', 'AbortError')),
            )
        }
        const attempt = (mayRenew: boolean) => {
          subscription = next(ownOp).subscribe({
            next(value) {
              if (call.token && call.token !== lastRefused) signedOut = false
              observer.next(value)
            },
            error(error) {
              if (inData(error, 'code') !== 'UNAUTHORIZED') return fail(error)
              const isRevoked = inData(error, 'reason') === 'revoked'
              if (isRevoked) forget(call.token)
              if (!mayRenew || isRevoked) return refused(error)
              call.isWaiting = true
              renew(number, call.token).then(
                renewed => {
                  if (closed) return
                  if (renewed) attempt(false)
                  else refused(error)
                },
                // Not signed out: whoever gives the tokens could not be asked.
                cause => fail(TRPCClientError.from(cause)),
              )
            },
            complete: () => observer.complete(),
          })
        }
        op.signal?.addEventListener('abort', abort)
        if (op.signal?.aborted) abort()
        else attempt(true)
        return close
      })
  }

  return {
    link,
    headers,
    clear() {
      held = null
      pending = null
      signedOut = false
      lastRefused = null
      firstNumber = ++lastNumber
    },
  }
}

function numberOf({ context }: Sent): number | undefined {
  const number = context[callNumber]
  return typeof number === 'number' ? number : undefined
}

/** @throws TypeError that does not quote it: a part of it may be a token. */
function assertToken(token: unknown): void {
  if (typeof token === 'string' && tokenPattern.test(token)) return
  throw new TypeError(
    'getToken answered something that is not a token (RFC 6750). Return the JWT alone, without "Bearer", or null when nobody is signed in.',
  )
}

function inData(error: unknown, key: 'code' | 'reason'): unknown {
  const data: unknown = error instanceof TRPCClientError ? error.data : undefined
  return typeof data === 'object' && data !== null ? Reflect.get(data, key) : undefined
}
