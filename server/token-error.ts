import { type Reason, reasons } from '../shared/reasons.js'

/** What may be told of a refused token in a log: nothing that it proves, and nothing that it could be made from. */
export interface RefusedToken {
  /** The first eight bytes of its SHA-256, in hex: the same token has the same. */
  hash: string
  /** The `kid` that it named, 64 characters at most. */
  kid: string | null
  /** The issuer that it was judged for. */
  issuer: string | null
}

interface TokenErrorOptions extends ErrorOptions {
  /** Seconds after which it may be tried again, of an outage. */
  retryAfter?: number
  token?: RefusedToken
  /** The scopes that it takes, with spaces between, of `insufficient_scope`. */
  scope?: string
}

/** Why a token was refused. The message is the reason's text; the token itself never stands in it. */
export class TokenError extends Error {
  override name = 'TokenError'
  readonly retryAfter: number | undefined
  readonly token: RefusedToken | undefined
  readonly scope: string | undefined

  constructor(
    /** Machine-readable: what the client sees as `error.data.reason`. */
    readonly reason: Exclude<Reason, 'database_unavailable'>,
    { retryAfter, token, scope, ...options }: TokenErrorOptions = {},
  ) {
    super(reasons[reason], options)
    this.retryAfter = retryAfter
    this.token = token
    this.scope = scope
  }
}
