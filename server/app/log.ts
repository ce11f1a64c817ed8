import { type Logger, pino } from 'pino'
import { serializeError } from '../http/serialize-error.js'

/** A logger that writes JSON lines to standard output. */
export function createLog(level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime })
}

/** An `onProblem` that logs a warning with its error. */
export const problemLogger = (log: Logger) => (problem: string, error: unknown) =>
  log.warn({ error: serializeError(error) }, problem)
