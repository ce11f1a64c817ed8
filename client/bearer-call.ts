import { type Operation, TRPCClientError, type TRPCLink } from '@trpc/client'
import type { AnyTRPCRouter } from '@trpc/server'
import type { Unsubscribable } from '@trpc/server/observable'
import {
  type CurrentUser,
  isOtherPerson,
  nextNumber,
  type Period,
  type UserCall,
  UserChangedError,
} from './current-user.js'
import type { TokenFacts } from './token-keeper.js'

/** What a link of tRPC gets for each call. */
type LinkRequest = Parameters<ReturnType<TRPCLink<AnyTRPCRouter>>>[0]
type ResultOf<TObservable> = TObservable extends { subscribe(observer: infer TObserver): unknown }
  ? Required<NonNullable<TObserver>>
  : never
/** Whoever waits for the results of a call. */
export type CallObserver = Pick<ResultOf<ReturnType<LinkRequest['next']>>, 'next' | 'error' | 'complete'>
type CallError = TRPCClientError<AnyTRPCRouter>

/** A batch has a call that was aborted, or whose user has changed. It is not sent, and its other calls are sent again. */
export class DissolvedBatchError extends Error {
  override name = 'DissolvedBatchError'

  constructor() {
    super('The batch was not sent, because one of its calls was aborted or its user has changed.')
  }
}

/** Key of the call's number in the operation's context: not a secret, and it survives a deep copy. */
const callNumber = 'trpc-bearer.call'
/** How long to wait for a token that is not valid yet, because the clock of the issuer is ahead of the clock of the API. */
const notYetValidMs = [1_000, 2_000, 4_000, 8_000]
/** A subscription that is refused sooner after its token was renewed is refused for good. */
const minSubscriptionMs = 5_000

/**
 * A running call: it waits for a token, is sent, and after a refusal is sent once more with a new token. It is not kept in the operation,
 * because tRPC's `loggerLink` prints that.
 */
export class BearerCall implements UserCall {
  readonly number = nextNumber()
  period: Period
  readonly isBound: boolean
  /** Sent in the last attempt. */
  sent: TokenFacts | null = null
  /** True until the call is sent with its token. */
  isWaiting = true
  readonly #user: CurrentUser<BearerCall>
  readonly #request: LinkRequest
  readonly #observer: CallObserver
  readonly #waits = [...notYetValidMs]
  #timer: ReturnType<typeof setTimeout> | undefined
  #subscription: Unsubscribable | undefined
  #isClosed = false
  #isRenewed = false
  #dissolved = 0
  /** Of the last attempt. */
  #refusal: CallError | null = null
  #sentAt = Date.now()
  /** Of the user, when this call was sent. */
  #tokenBefore: TokenFacts | undefined
  #changesBefore = 0
  #lastEventId: string | undefined

  /** @param period of the page that made the call, if it is known */
  constructor(
    user: CurrentUser<BearerCall>,
    period: Period | undefined,
    request: LinkRequest,
    observer: CallObserver,
  ) {
    this.#user = user
    this.period = period ?? user.period
    this.isBound = period !== undefined
    this.#request = request
    this.#observer = observer
  }

  start(): void {
    this.#user.calls.set(this.number, this)
    const { signal } = this.#request.op
    signal?.addEventListener('abort', this.#abort)
    if (signal?.aborted) this.#abort()
    else this.#attempt()
  }

  readonly close = (): void => {
    this.#isClosed = true
    this.#user.calls.delete(this.number)
    clearTimeout(this.#timer)
    this.#request.op.signal?.removeEventListener('abort', this.#abort)
    this.#subscription?.unsubscribe()
  }

  leave(): void {
    // A call without a token is nobody's: it goes on, and is not renewed.
    if (!this.isWaiting && this.sent === null) return
    this.#fail(new UserChangedError())
    this.close()
  }

  #fail(cause: Error): void {
    const error: CallError = TRPCClientError.from(cause)
    // The response in it has the URL with the inputs of the whole batch, and console.error would print it.
    Object.defineProperty(error, 'meta', { enumerable: false })
    if (!this.#isClosed) this.#observer.error(error)
    this.#isClosed = true
  }

  /** After a call is sent, the terminating link handles its signal. */
  readonly #abort = (): void => {
    if (!this.isWaiting) return
    const error = new Error('The call was aborted while it waited for a token.')
    this.#fail(Object.assign(error, { name: 'AbortError' }))
    this.close()
  }

  #attempt() {
    this.isWaiting = true
    if (this.isBound && this.period.isOver) return this.#fail(new UserChangedError())
    this.#user
      .token(this)
      .then(facts => this.#sendWith(facts))
      // getToken failed, so it is not known whether the user is signed out. Or the next link has thrown.
      .catch(cause => this.#fail(cause))
  }

  #sendWith(facts: TokenFacts | null) {
    if (this.#isClosed) return
    if (this.#refusal !== null && facts === null) return this.#failSignedOut(this.#refusal, null)
    const isNobodys = this.sent === null && facts === null && !this.isBound
    if (this.period.isOver && !isNobodys) return this.#fail(new UserChangedError())
    // It is somebody's call, and they have signed out before it was sent.
    if (this.sent !== null && facts === null) return this.#fail(new UserChangedError())
    if (isOtherPerson(this.sent, facts)) return this.#fail(new UserChangedError())
    this.sent = facts
    this.#tokenBefore = this.#user.lastToken
    this.#changesBefore = this.#user.changes
    this.#send()
  }

  #send(): void {
    const { op, next } = this.#request
    this.#sentAt = Date.now()
    this.#subscription = next({
      ...op,
      // Copied, because callers may pass one context object to several calls.
      context: { ...op.context, [callNumber]: this.number },
      input: inputAfter(this.#lastEventId, op.input),
    }).subscribe({
      next: value => {
        const { result } = value
        this.isWaiting = false
        // The server reports that a subscription has started before it refuses its token.
        const isAnswer = result.type === undefined || result.type === 'data'
        if (isAnswer && this.sent !== null && !this.period.isOver) this.#user.answered(this.sent)
        if ('id' in result && typeof result.id === 'string') this.#lastEventId = result.id
        this.#observer.next(value)
      },
      error: error => this.#onError(error),
      complete: () => this.#observer.complete(),
    })
  }

  #onError(error: CallError) {
    const isRunning = this.#user.calls.has(this.number)
    if (error.cause instanceof DissolvedBatchError && isRunning) {
      // Later each time, so that it meets other calls.
      this.#timer = setTimeout(() => this.#attempt(), this.#dissolved++ * 10)
      return
    }
    if (dataField(error, 'code') !== 'UNAUTHORIZED') return this.#fail(error)
    const reason = dataField(error, 'reason')
    if (reason === 'not_yet_valid') return this.#retryLater(error)
    this.#user.forget(this.sent?.token)
    // Who has signed in meanwhile did not make a call of nobody.
    if (!this.#mayRenew() || reason === 'revoked' || this.sent === null || !isRunning)
      return this.#failSignedOut(error)
    this.#isRenewed = true
    this.#refusal = error
    this.#attempt()
  }

  /** Once, and a subscription each time that it has lasted for a while. */
  #mayRenew(): boolean {
    const hasLasted = Math.abs(Date.now() - this.#sentAt) >= minSubscriptionMs
    return !this.#isRenewed || (this.#request.op.type === 'subscription' && hasLasted)
  }

  #retryLater(error: CallError) {
    const wait = this.#waits.shift()
    if (wait === undefined || !this.#user.calls.has(this.number)) return this.#fail(error)
    this.#refusal = error
    this.isWaiting = true
    this.#timer = setTimeout(() => this.#attempt(), wait)
  }

  /** @param sent the token of the last attempt. Null if nobody is signed in. */
  #failSignedOut(error: CallError, sent = this.sent): void {
    const isOfUser = this.#user.calls.has(this.number) && !this.period.isOver
    // A call of nobody says nothing about who has signed in meanwhile.
    const isUnchanged =
      this.#tokenBefore === this.#user.lastToken && this.#changesBefore === this.#user.changes
    const isPresent = sent !== null || this.sent !== null || isUnchanged
    this.#fail(error)
    if (isOfUser && isPresent) this.#user.refuse(sent?.token)
  }
}

/** The number of the call that made this operation. Undefined if a link between has lost the context. */
export function numberOf({ context }: Pick<Operation, 'context'>): number | undefined {
  const number = context[callNumber]
  return typeof number === 'number' ? number : undefined
}

/** The input of a subscription that goes on after the last event of tRPC's `tracked`. */
const inputAfter = (lastEventId: string | undefined, input: unknown) =>
  lastEventId === undefined || (typeof input !== 'object' && input !== undefined)
    ? input
    : { ...input, lastEventId }

function dataField(error: unknown, key: 'code' | 'reason'): unknown {
  const data: unknown = error instanceof TRPCClientError ? error.data : undefined
  return typeof data === 'object' && data !== null ? Reflect.get(data, key) : undefined
}
