import { causesOf } from '../shared/causes.js'
import { printable } from './printable.js'

/**
 * What an error says, with its causes, and without PostgreSQL's `detail` and `where`: those quote rows. Its text may quote a caller,
 * so it is made printable.
 */
export function describeError(error: unknown) {
  if (!(error instanceof Error)) return [{ message: printableLines(String(error)) }]
  return causesOf(error).map(cause => ({
    type: cause.name,
    message: printableLines(cause.message),
    ...('code' in cause && { code: cause.code }),
    ...('advice' in cause && { advice: cause.advice }),
    ...(cause.stack !== undefined && { stack: printableLines(cause.stack) }),
  }))
}

const printableLines = (text: string) => text.split('\n').map(printable).join('\n')
