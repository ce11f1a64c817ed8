import { type Logger, pino } from 'pino'
import { serializeError } from '../http/serialize-error.js'

/** Structured logs on standard output, one line of JSON each. */
export function createLog(level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime })
}

/** Logs what is wrong in words, with the error that says why. */
export const problemLogger = (log: Logger) => (problem: string, error: unknown) =>
  log.warn({ error: serializeError(error) }, problem)
