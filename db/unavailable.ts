/**
 * True when the error says that the database cannot be reached or used at all, so that the same call may well succeed
 * later: no connection, a connection that broke, a server that starts or stops, a schema that is not migrated yet.
 */
export function isDatabaseUnavailable(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof SchemaMissing) return true
    const code = 'code' in cause ? String(cause.code) : ''
    // Class 08: connection exception, 28: login refused, 3D: no such database, 53: out of connections, 57P: shut down.
    if (/^(08|28|3D|53|57P)/.test(code) || networkCodes.has(code) || brokenConnection.test(cause.message))
      return true
    if (cause instanceof AggregateError && cause.errors.some(isDatabaseUnavailable)) return true
  }
  return false
}

/** The application role is not there: the migrations have not run. */
export class SchemaMissing extends Error {
  override name = 'SchemaMissing'
}

const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
])

// pg's own errors have no code.
const brokenConnection =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|Cannot use a pool after)/

/** True when the statement was cancelled because it took longer than `statement_timeout`. */
export function isStatementTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '57014'
}
