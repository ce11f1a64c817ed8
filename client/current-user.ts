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

/** The user may have changed, but it is not known yet. */
interface Doubt {
  /** Number of the last call that was surely made before. */
  lastCall: number
  /** Of the tokens before. */
  person: string | undefined
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
  #stopWatching: (() => void) | undefined
  /** The id that the session has reported. Undefined before its first report. */
  #session: string | null | undefined
  /** The last token that was sent in this period. */
  #token: TokenFacts | undefined
  #doubt: Doubt | undefined
  #isSignedOut = false
  #lastRefused: string | undefined

  constructor(options: CurrentUserOptions) {
    this.#options = options
    this.#tokens = new TokenKeeper(options.getToken, options.cache)
  }

  onChange(listen: () => void): () => void {
    this.#listeners.add(listen)
    this.#watch()
    return () => {
      if (this.#listeners.delete(listen) && this.#listeners.size === 0) this.#unwatch()
    }
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
    const doubt = this.#doubt
    const isLater = doubt !== undefined && call.number > doubt.lastCall
    if (isOtherPerson(this.#token, facts)) {
      this.#leave(isLater ? doubt.lastCall : undefined)
      this.#token = facts
      if (isLater) return facts
      // With `subscribe` the page follows the session by itself.
      if (this.#options.subscribe === undefined) this.#callOnSignedOut()
      throw new UserChangedError()
    }
    const isFirst = this.#token === undefined && typeof this.#session !== 'string'
    const isSame = facts.person !== undefined && facts.person === doubt?.person
    if (isFirst || (isSame && isLater)) this.#doubt = undefined
    if (this.#token === undefined) this.#isSignedOut = false
    this.#token = facts
    return facts
  }

  /** The user signs out. */
  clear(): void {
    this.#tokens.clear()
    if (this.#isSomebody() || this.#session === undefined) this.#leave()
    else for (const call of [...this.calls.values()]) call.leave()
    this.#session = null
    this.#isSignedOut = false
  }

  /** The API has answered a call with this token. */
  answered({ token }: TokenFacts): void {
    if (token !== this.#lastRefused) this.#isSignedOut = false
  }

  /** The last token that was sent in this period. */
  get lastToken(): TokenFacts | undefined {
    return this.#token
  }

  /** The API has refused this token: the next call fetches another. */
  forget(token: string | undefined): void {
    this.#tokens.forget(token)
  }

  /**
   * The API refuses the user, and a new token does not help.
   *
   * @param token that was refused. Undefined if nobody is signed in any more.
   */
  refuse(token: string | undefined): void {
    const { cache, subscribe } = this.#options
    const isReported = this.#isSignedOut && cache
    this.#lastRefused = token
    if (token === undefined && cache && subscribe === undefined && this.#isSomebody()) {
      this.#endPeriod()
      this.#tell()
    }
    // Whoever calls next may be somebody else.
    else if (token === undefined) this.#startDoubt()
    if (isReported) this.#isSignedOut = true
    else this.#callOnSignedOut()
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
    if (!cache || this.#stopWatching !== undefined || subscribe === undefined) return
    this.#stopWatching = () => {}
    this.#stopWatching = subscribe(userId => this.#report(userId))
  }

  /** Until the next call. What happens meanwhile is not seen, so that call asks for a token. */
  #unwatch(): void {
    if (this.#stopWatching === undefined) return
    this.#stopWatching()
    this.#stopWatching = undefined
    this.#report(undefined)
  }

  #report(userId: string | null | undefined) {
    if (userId === undefined) {
      this.#startDoubt()
      return this.#tokens.renew()
    }
    const [before, token] = [this.#session, this.#token]
    const isTokenOfUser = token === undefined || token.subject === userId
    this.#session = userId
    if (userId === before) {
      if (isTokenOfUser) this.#doubt = undefined
      // The same user may have another role now, or another organisation.
      this.#tokens.renew()
      // Nobody is signed in, but a token was sent since: after clear(), or because another tab has signed in.
      if (userId === null && token !== undefined) this.#askToken()
      return
    }
    this.#tokens.renew(userId)
    if (before === undefined && !isTokenOfUser && userId !== null && token.subject !== undefined)
      return this.#askToken()
    const isKnown = before === undefined && isTokenOfUser
    const isSignIn = before === null && userId !== null && (isTokenOfUser || token.subject === undefined)
    if (isSignIn) this.#tell()
    else if (!isKnown) this.#leave(this.#doubt?.lastCall)
    this.#session = userId
    this.#doubt = undefined
  }

  /** An issuer may write another id into its tokens than into its session. So only two tokens can be compared. */
  #askToken(): void {
    this.#startDoubt()
    const request = this.#request(Number.POSITIVE_INFINITY)
    this.token(request).then(
      facts => {
        if (facts === null && !request.period.isOver) this.#leave(this.#doubt?.lastCall)
      },
      // The next call asks again, and fails with the error.
      () => {},
    )
  }

  #startDoubt(): void {
    this.#doubt = { lastCall: lastNumber, person: this.#token?.person }
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
    this.#doubt = undefined
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
