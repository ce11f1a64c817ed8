import { causesOf } from '../shared/error-handling.js'
import { type Reason, reasons } from '../shared/reasons.js'

/**
 * The database cannot be reached or used at all, so that the same call may well succeed later: no connection, one that broke, a
 * server that starts or stops, a schema that is not migrated yet, a `FENCE_SECRET` that is not the database's. `cause` is what the driver said.
 */
export class DatabaseUnavailableError extends Error {
  override name = 'DatabaseUnavailableError'
  readonly reason = 'database_unavailable' satisfies Reason

  constructor(options: ErrorOptions) {
    super(reasons.database_unavailable, options)
  }
}

/** True when the error, or a cause of it, is that the database cannot be reached or used. */
export function isDatabaseUnavailable(error: unknown): boolean {
  return causesOf(error).some(cause => cause instanceof DatabaseUnavailableError)
}

/** True when the statement was cancelled because it took longer than `statement_timeout`. */
export function isStatementTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '57014'
}

/** What a statement threw, as a {@link DatabaseUnavailableError} where it is one: asked where it arises, as other parts of a procedure have such codes too. */
export function fromStatement(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  if (saysUnavailable(error)) return new DatabaseUnavailableError({ cause: error })
  return isDenied(error) ? Object.assign(error, { advice: reachable }) : error
}

const reachable =
  'Callers reach what a migration has given them: by protectTable (own rows), shareTable (everybody reads), or a grant to their role.'

/** The role may not do that with a table, a function, or whatever else. */
const isDenied = (error: Error) => 'routine' in error && error.routine === 'aclcheck_error'

/** What the proof of the fence threw: an outage too where the migrations have not run. */
export function fromProof(error: unknown): unknown {
  if (!(error instanceof Error && isSchemaMissing(error))) return error
  const cause = new Error('The database is not migrated: npm run migrate, or migrateToLatest.', {
    cause: error,
  })
  return new DatabaseUnavailableError({ cause })
}

/** What setting the identity threw: an outage too where the role is not there, or the login may not become it. */
export function fromIdentity(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === '22023' || code === '42501' ? new DatabaseUnavailableError({ cause: error }) : error
}

function saysUnavailable(error: Error): boolean {
  if (isNotBelieved(error)) return true
  const { code, routine } = { code: '', routine: '', ...error }
  if (ofItsAuthor.has(routine)) return false
  // Class 08: connection exception, 53: out of resources, 57P: shut down.
  if (/^(08|53|57P)/.test(code) || networkCodes.has(code)) return true
  return isSchemaMissing(error) || brokenConnection.test(error.message)
}

/** How the database begins what it says of an identity without a good signature. */
export const notBelieved = 'The identity is not believed'

/** True when the database checks signatures, and this server cannot make them. */
export function isNotBelieved(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    error.code === '28000' &&
    error.message.startsWith(notBelieved)
  )
}

/** The table or the schema of our own migrations is not there. In any language: each quotes the name in its own way. */
function isSchemaMissing(error: Error): boolean {
  const { code, routine } = { code: '', routine: '', ...error }
  // A statement that names a table which it does not select from is its author's mistake.
  if (code === '42P01') return routine !== 'errorMissingRTE' && /[^\w\s.]tasks[^\w\s.]/.test(error.message)
  return code === '3F000' && /[^\w\s.]trpc_bearer[^\w\s.]/.test(error.message)
}

/** What the author of a statement is to fix, under any code: RAISE in a function, and another number of values than it has places. */
const ofItsAuthor = new Set(['exec_stmt_raise', 'exec_bind_message'])

const networkCodes = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT'])

// pg's own errors have no code.
const brokenConnection =
  /^(Connection terminated|Client has encountered a connection error|Client was closed)/
