import { TRPCClientError, type TRPCLink } from '@trpc/client'
import type { AnyTRPCRouter } from '@trpc/server'
import { observable } from '@trpc/server/observable'
import { callHook } from '../shared/error-handling.js'

/** Options of {@link bearerAuth}. */
export interface BearerAuthOptions {
  /**
   * Returns a JWT (Better Auth: `authClient.token()`), or null, undefined or '' if nobody is signed in. It is called if there is
   * no token in memory, 30 seconds before the token expires, and once after an UNAUTHORIZED; never twice at once. A value
   * that is not a token (RFC 6750) fails the call.
   */
  getToken: () => Promise<string | null | undefined> | string | null | undefined
  /**
   * Called when the API refuses the caller and a new token does not help, and when a new token is of another person: show the
   * sign-in. If it throws, the error goes to `console.error`.
   */
  onSignedOut?: (() => void) | undefined
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
  /** Forgets the token. Call it when the user signs out. */
  clear: () => void
}

/**
 * Cause of the error of a call whose new token is of another person than the one before. Another tab with the same cookies may
 * have signed somebody else in, and the call must not continue as them.
 */
export class UserChangedError extends Error {
  override name = 'UserChangedError'

  constructor() {
    super('Somebody else has signed in. Reload the page, or call auth.clear() before the next call.')
  }
}

interface Operation {
  context: Record<string, unknown>
}

/** tRPC's links call `headers` with one operation or with those of a batch. */
type HeadersOptions = { op: Operation } | { opList: readonly Operation[] }

interface CachedToken {
  token: string
  /** Milliseconds since the epoch. */
  renewAt: number
}

const renewBeforeMs = 30_000
/** Key of the call's number in the operation's context: not a secret, and it survives a deep copy. */
const callNumber = 'trpc-bearer.call'
/** `b64token` (RFC 6750 section 2.1). */
const tokenPattern = /^[\w\-.~+/]+=*$/

let lastNumber = 0

/** State of a running call. It is not kept in the operation, because tRPC's `loggerLink` prints that. */
interface Call {
  /** The token of the last attempt. */
  token: string | null
  /** True until the call is sent with its token. */
  isWaiting: boolean
}

/**
 * Keeps a caller's token for a tRPC client: in memory only, sent as `Authorization: Bearer` (RFC 6750 section 2.1), renewed
 * before it expires and after a refusal. Use it to build your own chain of links; `createClient` contains it.
 *
 * @example
 * const auth = bearerAuth({ getToken })
 * createTRPCClient<AppRouter>({
 *   links: [auth.link, httpBatchLink({ url, transformer, headers: auth.headers })],
 * })
 */
export function bearerAuth({ getToken, onSignedOut }: BearerAuthOptions): BearerAuth {
  let cached: CachedToken | null = null
  let pending: Promise<string | null> | null = null
  /** Grows at each sign-out. Calls with a lower number must not continue as the next user. */
  let firstNumber = ++lastNumber
  let isLinked = false
  let signedOut = false
  let lastRefused: string | null = null
  /** Whose token was sent, until the sign-out is reported. */
  let person: string | undefined
  const calls = new Map<number, Call>()

  const isCurrent = (number: number) => number > firstNumber

  const fetchToken = async (): Promise<string | null> => {
    const before = firstNumber
    const token = (await getToken()) || null
    if (before !== firstNumber) return null
    if (token !== null) assertToken(token)
    const next = token === null ? undefined : personOf(token)
    if (person !== undefined && next !== undefined && person !== next) {
      clear()
      reportSignedOut()
      throw new UserChangedError()
    }
    person = next ?? person
    cached = token === null ? null : { token, renewAt: expiryOf(token) - renewBeforeMs }
    return token
  }

  const currentToken = async (): Promise<string | null> => {
    if (cached !== null && Date.now() < cached.renewAt) return cached.token
    if (pending !== null) return pending
    const fetching = fetchToken().finally(() => {
      if (pending === fetching) pending = null
    })
    pending = fetching
    return fetching
  }

  const forget = (token: string | null) => {
    if (cached?.token === token) cached = null
  }

  const clear = () => {
    cached = null
    pending = null
    signedOut = false
    lastRefused = null
    person = undefined
    firstNumber = ++lastNumber
  }

  /** Once, until a call is answered again. */
  const reportSignedOut = () => {
    const isFirst = !signedOut
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
    const current = await currentToken()
    const ops = options === undefined ? [] : 'opList' in options ? options.opList : [options.op]
    const numbers = ops.map(numberOf)
    // If one operation belongs to a former user, the whole batch is sent without a token; the current user's calls are retried.
    const maySendToken = numbers.every(number => (number === undefined ? !isLinked : isCurrent(number)))
    const token = maySendToken ? current : null
    for (const number of numbers) {
      const call = number === undefined ? undefined : calls.get(number)
      if (call !== undefined) Object.assign(call, { token, isWaiting: false })
    }
    const header: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` }
    return header
  }

  /** True if the call may be repeated: the user is the same and there is a token. */
  const renew = async (number: number, refused: string | null): Promise<boolean> => {
    if (!isCurrent(number)) return false
    forget(refused)
    return (await currentToken()) !== null && isCurrent(number)
  }

  const link: BearerAuth['link'] = () => {
    isLinked = true
    return ({ op, next }) =>
      observable(observer => {
        const number = ++lastNumber
        const call: Call = { token: null, isWaiting: true }
        calls.set(number, call)
        // Copied, because callers may pass one context object to several calls.
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
          // The response in it has the URL with the inputs of the whole batch, and console.error would print it.
          Object.defineProperty(error, 'meta', { enumerable: false })
          if (!closed) observer.error(error)
          closed = true
        }
        const failSignedOut = (error: Parameters<typeof observer.error>[0]) => {
          if (!isCurrent(number)) return fail(error)
          lastRefused = call.token
          fail(error)
          reportSignedOut()
        }
        // After a call is sent, the terminating link handles its signal.
        const abort = () => {
          if (call.isWaiting)
            fail(
              TRPCClientError.from(
                new DOMException('The call was aborted while it waited for a token.', 'AbortError'),
              ),
            )
        }
        const attempt = (mayRenew: boolean) => {
          subscription = next(ownOp).subscribe({
            next(value) {
              if (call.token && call.token !== lastRefused) signedOut = false
              observer.next(value)
            },
            error(error) {
              if (dataField(error, 'code') !== 'UNAUTHORIZED') return fail(error)
              const isRevoked = dataField(error, 'reason') === 'revoked'
              if (isRevoked) forget(call.token)
              if (!mayRenew || isRevoked) return failSignedOut(error)
              call.isWaiting = true
              renew(number, call.token).then(
                renewed => {
                  if (closed) return
                  if (renewed) attempt(false)
                  else failSignedOut(error)
                },
                // getToken failed, so it is not known whether the user is signed out.
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
    clear,
  }
}

function numberOf({ context }: Operation): number | undefined {
  const number = context[callNumber]
  return typeof number === 'number' ? number : undefined
}

/** The error does not quote the value: a part of it may be a token. */
function assertToken(token: unknown): void {
  if (typeof token === 'string' && tokenPattern.test(token)) return
  throw new TypeError(
    'getToken returned something that is not a token (RFC 6750). Return the JWT alone, without "Bearer", or null if nobody is signed in.',
  )
}

function dataField(error: unknown, key: 'code' | 'reason'): unknown {
  const data: unknown = error instanceof TRPCClientError ? error.data : undefined
  return typeof data === 'object' && data !== null ? Reflect.get(data, key) : undefined
}

/** The claims of a JWT; empty if they cannot be read. The client does not verify the token: the API does. */
function claimsOf(token: string): { exp?: unknown; iss?: unknown; sub?: unknown } {
  try {
    const [, payload = ''] = token.split('.')
    const claims: unknown = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
    return typeof claims === 'object' && claims !== null ? claims : {}
  } catch {
    return {}
  }
}

/** When a JWT expires (`exp`, RFC 7519 section 4.1.4), in milliseconds since the epoch; Infinity if unknown. */
function expiryOf(token: string): number {
  const { exp } = claimsOf(token)
  return typeof exp === 'number' ? exp * 1000 : Number.POSITIVE_INFINITY
}

/** Equal for tokens of one person. Undefined if the token does not say whose it is. */
function personOf(token: string): string | undefined {
  const { iss, sub } = claimsOf(token)
  return typeof sub === 'string' ? JSON.stringify([iss, sub]) : undefined
}
