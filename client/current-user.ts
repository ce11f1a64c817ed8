import { callHook } from '../shared/error-handling.js'
import { type GetToken, type Subscribe, type TokenFacts, TokenKeeper } from './token-keeper.js'

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

/** The time in which one user is signed in. Nothing that was made in it runs as the next user. */
export interface Period {
  isOver: boolean
}

/** What the user change needs of a running call. */
export interface UserCall {
  /** Later calls have greater numbers. */
  readonly number: number
  period: Period
  /** It was made by a page of this period, so it is never a call of the next user. */
  readonly isBound: boolean
  /** Ends it, because its user has changed. */
  leave(): void
}

interface CurrentUserOptions {
  getToken: GetToken
  subscribe: Subscribe | undefined
  /** The client serves one user. Without it there is nothing to follow. */
  cache: boolean
  onSignedOut: (() => void) | undefined
}

let lastNumber = 0

/** Greater than that of each call before, of any client: a call's number stays in an operation that is given to another client. */
export const nextNumber = () => ++lastNumber

/**
 * Who uses the client. Two sources tell: the session, which `subscribe` watches, and the tokens. Either way a change goes the same way:
 * the period of the former user is over, their running calls fail, and the listeners are told.
 */
export class CurrentUser<TCall extends UserCall> {
  /** The running calls by their number. */
  readonly calls = new Map<number, TCall>()
  period: Period = { isOver: false }
  /** How often the listeners were told of a change. */
  changes = 0
  readonly #tokens: TokenKeeper
  readonly #options: CurrentUserOptions
  readonly #listeners = new Set<() => void>()
  #isWatching = false
  /** The id that the session has reported. Undefined before its first report. */
  #session: string | null | undefined
  /** The last token that was sent in this period. */
  #token: TokenFacts | undefined
  /** Number of the last call that is surely of this period: the user may have changed after it, but it is not known yet. */
  #lastOfUser: number | undefined
  #isSignedOut = false
  #lastRefused: string | undefined

  constructor(options: CurrentUserOptions) {
    this.#options = options
    this.#tokens = new TokenKeeper(options.getToken, options.cache)
  }

  onChange(listen: () => void): () => void {
    this.#listeners.add(listen)
    this.#watch()
    return () => this.#listeners.delete(listen)
  }

  /**
   * The token to send, or null if nobody is signed in.
   *
   * @param call that needs it. Without it, what needs it fails with the present period.
   * @throws UserChangedError if it would be sent as another user
   */
  async token(call: Pick<UserCall, 'number' | 'period'> = this.#request(0)): Promise<TokenFacts | null> {
    this.#watch()
    const facts = await this.#tokens.current()
    if (!this.#options.cache || facts === null) return facts
    if (call.period.isOver) throw new UserChangedError()
    const boundary = this.#lastOfUser
    const isLater = boundary !== undefined && call.number > boundary
    if (isOtherPerson(this.#token, facts)) {
      this.#leave(isLater ? boundary : undefined)
      this.#token = facts
      if (isLater) return facts
      // With `subscribe` the page follows the session by itself.
      if (this.#options.subscribe === undefined) this.#callOnSignedOut()
      throw new UserChangedError()
    }
    if (isLater && facts.person !== undefined && facts.person === this.#token?.person)
      this.#lastOfUser = undefined
    this.#token = facts
    return facts
  }

  /** The user signs out. */
  clear(): void {
    this.#tokens.clear()
    if (this.#isSomebody()) this.#leave()
    else for (const call of [...this.calls.values()]) call.leave()
    this.#session = null
    this.#isSignedOut = false
  }

  /** The API has answered a call with this token. */
  answered({ token }: TokenFacts): void {
    if (token !== this.#lastRefused) this.#isSignedOut = false
  }

  /** The API has refused this token: the next call fetches another. */
  forget(token: string | undefined): void {
    this.#tokens.forget(token)
  }

  /** The API refuses the user, and a new token does not help. */
  refuse(refused: string | undefined): void {
    this.#lastRefused = refused
    if (this.#options.subscribe !== undefined) {
      if (this.#token?.person !== undefined) this.#lastOfUser = lastNumber
    } else if (this.#isSignedOut) this.#token = undefined
    else if (this.#options.cache && this.#isSomebody()) {
      this.#endPeriod()
      this.#tell()
    }
    if (!this.#isSignedOut || !this.#options.cache) this.#callOnSignedOut()
  }

  #callOnSignedOut(): void {
    callHook(
      () => this.#options.onSignedOut?.(),
      error => console.error('The onSignedOut option threw an error:', error),
    )
    // Set after the hook, which may call clear() and then make calls that are refused too: it would never end.
    this.#isSignedOut = true
  }

  #watch(): void {
    const { cache, subscribe } = this.#options
    if (!cache || this.#isWatching || subscribe === undefined) return
    this.#isWatching = true
    subscribe(userId => this.#report(userId))
  }

  #report(userId: string | null | undefined) {
    if (userId === undefined) {
      this.#lastOfUser = lastNumber
      return this.#tokens.renew()
    }
    const before = this.#session
    if (userId === before) {
      // The same user may have another role now, or another organisation.
      this.#lastOfUser = undefined
      return this.#tokens.renew()
    }
    const [token, isSomebody] = [this.#token, this.#isSomebody()]
    this.#tokens.renew(userId)
    this.#session = userId
    const subject = token?.subject
    const isFirst = before === undefined && (token === undefined || userId !== null)
    if (isFirst && subject !== undefined && subject !== userId) return this.#askToken()
    const isKnown = isFirst || (subject !== undefined && subject === userId)
    if (isSomebody && !isKnown) this.#leave(this.#lastOfUser)
    else if (!isKnown) this.#tell()
    this.#session = userId
    this.#lastOfUser = undefined
  }

  /** An issuer may write another id into its tokens than into its session. So only two tokens can be compared. */
  #askToken(): void {
    this.#lastOfUser ??= lastNumber
    const request = this.#request(Number.POSITIVE_INFINITY)
    this.token(request).then(
      facts => {
        if (facts === null && !request.period.isOver) this.#leave(this.#lastOfUser)
      },
      // The next call asks again, and fails with the error.
      () => {},
    )
  }

  #request = (number: number) => ({ number, period: this.period })

  #isSomebody(): boolean {
    return this.#token !== undefined || typeof this.#session === 'string'
  }

  /** @param lastOfUser number of the last call of the former user. By default all calls are theirs. */
  #leave(lastOfUser = Number.POSITIVE_INFINITY): void {
    this.#endPeriod(lastOfUser)
    for (const call of [...this.calls.values()]) if (call.period.isOver) call.leave()
    this.#tell()
  }

  #endPeriod(lastOfUser = Number.POSITIVE_INFINITY): void {
    this.period.isOver = true
    this.period = { isOver: false }
    this.#session = undefined
    this.#token = undefined
    this.#lastOfUser = undefined
    this.#isSignedOut = false
    for (const call of this.calls.values())
      if (!call.isBound && call.number > lastOfUser) call.period = this.period
  }

  #tell(): void {
    this.changes++
    for (const listen of this.#listeners)
      callHook(listen, error => console.error('A listener of onUserChange threw an error:', error))
  }
}

/** False if one of the tokens does not say whose it is. */
export const isOtherPerson = (before: TokenFacts | null | undefined, now: TokenFacts | null) =>
  before?.person !== undefined && now?.person !== undefined && before.person !== now.person
