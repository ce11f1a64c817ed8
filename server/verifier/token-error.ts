import { isOutage, type Reason, reasons } from '../../shared/reasons.js'

/**
 * What a log may show about a refused token: nothing that could replace the token. Control, bidi and invisible characters are escaped
 * as `\uXXXX`.
 */
export interface RefusedToken {
  /** The first eight bytes of its SHA-256, in hex: equal for equal tokens. */
  hash: string
  /** The first 64 characters of its `kid`. */
  kid: string | null
  /** The configured issuer that it was checked against. */
  issuer: string | null
  /** With the reason `claims`: the name of the claim that is missing or wrong. */
  claim?: string
  /** Advice for the operator of the API. */
  hint?: string
}

interface TokenErrorOptions extends ErrorOptions {
  /** Seconds until a retry makes sense, for an outage. */
  retryAfter?: number
  token?: RefusedToken
  /** The name of the wrong claim, for `claims`. Never its value. */
  claim?: string | undefined
  /** Advice for the log. The caller does not see it. */
  hint?: string | undefined
  /** The required scopes, separated by spaces, for `insufficient_scope`. */
  scope?: string
}

/** Seconds until a retry after an outage, if nothing better is known. */
export const usualRetryAfter = 5

/**
 * A refused token. The message is the text of the reason and never contains the token.
 *
 * `status` and `headers` are the HTTP answer. Express, Koa and Fastify read them from an error that a handler throws.
 */
export class TokenError extends Error {
  override name = 'TokenError'
  readonly retryAfter: number | undefined
  readonly token: RefusedToken | undefined
  readonly scope: string | undefined
  readonly claim: string | undefined
  readonly hint: string | undefined

  constructor(
    /** What the client sees as `error.data.reason`. */
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

  /** 401 for a refused token, 403 for a missing scope, 503 for an outage. A client that gets 401 signs its user out. */
  get status(): 401 | 403 | 503 {
    if (isOutage(this.reason)) return 503
    return this.reason === 'insufficient_scope' ? 403 : 401
  }

  /** `WWW-Authenticate` (RFC 6750 section 3) for 401 and 403, `Retry-After` in seconds for 503. */
  get headers(): Record<string, string> {
    if (this.status === 503) return { 'retry-after': String(Math.ceil(this.retryAfter ?? usualRetryAfter)) }
    return { 'www-authenticate': this.#challenge() }
  }

  // Without a token the challenge has no error (RFC 6750 section 3.1).
  #challenge(): string {
    if (this.reason === 'missing') return 'Bearer'
    const error = this.status === 403 ? 'insufficient_scope' : 'invalid_token'
    const scope = this.scope === undefined ? '' : `, scope="${this.scope}"`
    return `Bearer error="${error}", error_description="${this.message.replaceAll('"', "'")}"${scope}`
  }
}
