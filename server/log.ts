import { pino } from 'pino'

/** Structured logs on standard output, one line of JSON each. */
export function createLog(level: string) {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime })
}
