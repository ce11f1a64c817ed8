import { causesOf } from '../shared/causes.js'

/**
 * True when the error says that the database cannot be reached or used at all, so that the same call may well succeed
 * later: no connection, a connection that broke, a server that starts or stops, a schema that is not migrated yet.
 */
export function isDatabaseUnavailable(error: unknown): boolean {
  return causesOf(error).some(saysUnavailable)
}

function saysUnavailable(error: Error): boolean {
  if (error instanceof SchemaMissing) return true
  if (error instanceof AggregateError) return error.errors.some(isDatabaseUnavailable)
  const code = 'code' in error ? String(error.code) : ''
  // Class 08: connection exception, 28: login refused, 3D: no such database, 53: out of connections, 57P: shut down.
  return /^(08|28|3D|53|57P)/.test(code) || networkCodes.has(code) || brokenConnection.test(error.message)
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
