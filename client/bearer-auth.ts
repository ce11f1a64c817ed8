import { TRPCClientError, type TRPCLink } from '@trpc/client'
import type { AnyTRPCRouter } from '@trpc/server'
import { observable } from '@trpc/server/observable'
import { expiryOf } from './expiry.js'

/** Options of {@link bearerAuth}. */
export interface BearerAuthOptions {
  /**
   * Gets a JWT from where the person is signed in (Better Auth: `authClient.token()`), or null when nobody is. Called when
   * there is no token in memory, when 30 seconds or less of its life are left, and once after an UNAUTHORIZED; never twice
   * at once.
   */
  getToken: () => Promise<string | null> | string | null
  /** Called when the API refuses the caller and a new token does not help: show the sign-in. */
  onSignedOut?: (() => void) | undefined
}

/** What {@link bearerAuth} makes. */
export interface BearerAuth {
  /** Goes before the terminating link: renews the token and repeats the call, once. */
  link: TRPCLink<AnyTRPCRouter>
  /** The `headers` option of the terminating link. */
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
/** Where an operation's context holds the handle of its {@link Call}. */
const callHandle = 'trpc-bearer.call'

/** What is known of a call under way. It is kept apart from the operation, which tRPC's `loggerLink` prints. */
interface Call {
  /** The sign-in that it was made in. */
  since: number
  /** The token that it was last sent with. */
  token: string | null
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
  /** Rises when a person signs out: nothing of before may go on as whoever is signed in then. */
  let generation = 0
  let signedOut = false
  let lastRefused: string | null = null
  const calls = new WeakMap<object, Call>()

  const callOf = ({ context }: Sent): Call | undefined => {
    const handle = context[callHandle]
    return typeof handle === 'object' && handle !== null ? calls.get(handle) : undefined
  }

  const fetchToken = async (): Promise<string | null> => {
    const before = generation
    const token = await getToken()
    if (before !== generation) return null
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
    const sent = ops.map(callOf).filter(call => call !== undefined)
    // Of several people in one request none speaks for the others: who is here now is refused and asks again.
    const token = sent.every(({ since }) => since === generation) ? current : null
    for (const call of sent) call.token = token
    const header: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` }
    return header
  }

  /** True when the call may be repeated: for the same person, with another token than the one that was refused. */
  const renew = async ({ token: refused, since }: Call): Promise<boolean> => {
    if (since !== generation) return false
    forget(refused)
    return (await currentToken()) !== null && since === generation
  }

  const tellSignedOut = (refused: string | null) => {
    lastRefused = refused
    if (!signedOut) onSignedOut?.()
    signedOut = true
  }

  const link: BearerAuth['link'] = () => {
    return ({ op, next }) =>
      observable(observer => {
        const call: Call = { since: generation, token: null }
        const handle = Object.freeze({})
        calls.set(handle, call)
        // A copy: callers may give several calls the same context object.
        const ownOp = { ...op, context: { ...op.context, [callHandle]: handle } }
        let subscription = { unsubscribe() {} }
        let closed = false
        const close = () => {
          closed = true
          subscription.unsubscribe()
        }
        const fail = (error: Parameters<typeof observer.error>[0]) => {
          if (!closed) observer.error(error)
          closed = true
        }
        const refused = (error: Parameters<typeof observer.error>[0]) => {
          tellSignedOut(call.token)
          fail(error)
        }
        const abort = () =>
          fail(TRPCClientError.from(new DOMException('Aborted while the token was renewed.', 'AbortError')))
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
              op.signal?.addEventListener('abort', abort, { once: true })
              renew(call)
                .finally(() => op.signal?.removeEventListener('abort', abort))
                .then(
                  renewed => {
                    if (closed) return
                    if (renewed) attempt(false)
                    else if (call.since === generation) refused(error)
                    else fail(error)
                  },
                  // Not signed out: whoever gives the tokens could not be asked.
                  cause => fail(TRPCClientError.from(cause)),
                )
            },
            complete: () => observer.complete(),
          })
        }
        attempt(true)
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
      generation++
    },
  }
}

function inData(error: unknown, key: 'code' | 'reason'): unknown {
  const data: unknown = error instanceof TRPCClientError ? error.data : undefined
  return typeof data === 'object' && data !== null ? Reflect.get(data, key) : undefined
}
