import { type Logger, pino } from 'pino'
import { describeError } from '../http/describe-error.js'

/** Structured logs on standard output, one line of JSON each. */
export function createLog(level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime })
}

/** Logs what is wrong in words, with the error that says why. */
export const warnBy = (log: Logger) => (problem: string, error: unknown) =>
  log.warn({ error: describeError(error) }, problem)
