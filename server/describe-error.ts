import { causesOf } from '../shared/causes.js'

/** What an error says, with its causes, and without PostgreSQL's `detail` and `where`: those quote rows. */
export function describeError(error: unknown) {
  if (!(error instanceof Error)) return [{ message: String(error) }]
  return causesOf(error).map(cause => ({
    type: cause.name,
    message: cause.message,
    ...('code' in cause && { code: cause.code }),
    ...('advice' in cause && { advice: cause.advice }),
    stack: cause.stack,
  }))
}
