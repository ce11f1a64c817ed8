import { type Reason, reasons } from '../shared/reasons.js'

/** Why a token was refused. The message is the reason's text; the token itself never stands in it. */
export class TokenError extends Error {
  override name = 'TokenError'

  constructor(
    /** Machine-readable: what the client sees as `error.data.reason`. */
    readonly reason: Exclude<Reason, 'database_unavailable'>,
    options?: ErrorOptions,
  ) {
    super(reasons[reason], options)
  }
}
