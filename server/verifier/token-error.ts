import { isOutage, type Reason, reasons } from '../../shared/reasons.js'

/**
 * What may be told of a refused token in a log: nothing that it proves, and nothing that it could be made from. Control, bidi and
 * invisible characters are escaped as `\uXXXX`.
 */
export interface RefusedToken {
  /** The first eight bytes of its SHA-256, in hex: the same token has the same. */
  hash: string
  /** The `kid` that it named: its first 64 characters. */
  kid: string | null
  /** The issuer that it was judged for. */
  issuer: string | null
  /** The name of the claim that is missing or has a wrong value, of `claims`, where it is one of them. */
  claim?: string
  /** What to look at, for whoever runs the API. */
  hint?: string
}

interface TokenErrorOptions extends ErrorOptions {
  /** Seconds after which it may be tried again, of an outage. */
  retryAfter?: number
  token?: RefusedToken
  /** The name of the claim that is wrong, of `claims`. Never its value. */
  claim?: string | undefined
  /** What to look at, for a log: no caller is told. */
  hint?: string | undefined
  /** The scopes that it takes, with spaces between, of `insufficient_scope`. */
  scope?: string
}

/** Seconds after which an outage may be over, where nobody knows. */
export const usualRetryAfter = 5

/**
 * Why a token was refused. The message is the reason's text; the token itself never stands in it.
 *
 * It carries the answer that it asks for as `status` and `headers`, which Express, Koa and Fastify read from an error that a handler
 * throws: in a server without tRPC nothing more has to be done.
 */
export class TokenError extends Error {
  override name = 'TokenError'
  readonly retryAfter: number | undefined
  readonly token: RefusedToken | undefined
  readonly scope: string | undefined
  readonly claim: string | undefined
  readonly hint: string | undefined

  constructor(
    /** Machine-readable: what the client sees as `error.data.reason`. */
    readonly reason: Exclude<Reason, 'database_unavailable'>,
    { retryAfter, token, scope, claim, hint, ...options }: TokenErrorOptions = {},
  ) {
    super(reasons[reason], options)
    this.retryAfter = retryAfter
    this.token = token
    this.scope = scope
    this.claim = claim
    this.hint = hint
  }

  /** The caller's fault is 401, a scope or role that they lack 403, an outage 503: a client that gets 401 signs its person out. */
  get status(): 401 | 403 | 503 {
    if (isOutage(this.reason)) return 503
    return this.reason === 'insufficient_scope' ? 403 : 401
  }

  /** `WWW-Authenticate` (RFC 6750 section 3) of a 401 and a 403, `Retry-After` (whole seconds) of a 503. */
  get headers(): Record<string, string> {
    if (this.status === 503) return { 'retry-after': String(Math.ceil(this.retryAfter ?? usualRetryAfter)) }
    return { 'www-authenticate': this.#challenge() }
  }

  // Nothing is said of an error where no token was sent.
  #challenge(): string {
    if (this.reason === 'missing') return 'Bearer'
    const error = this.status === 403 ? 'insufficient_scope' : 'invalid_token'
    const scope = this.scope === undefined ? '' : `, scope="${this.scope}"`
    return `Bearer error="${error}", error_description="${this.message.replaceAll('"', "'")}"${scope}`
  }
}
