import { causesOf } from '../shared/error-handling.js'
import { type Reason, reasons } from '../shared/reasons.js'

/**
 * The database cannot be reached or used, so the same call may succeed later: no connection, a server that starts or stops, a schema
 * that is not migrated, a wrong `FENCE_SECRET`. `cause` is the error of the driver.
 */
export class DatabaseUnavailableError extends Error {
  override name = 'DatabaseUnavailableError'
  readonly reason = 'database_unavailable' satisfies Reason

  /** @param options.problem what is wrong, for somebody who administers the database */
  constructor({
    problem = reasons.database_unavailable,
    ...options
  }: ErrorOptions & { problem?: string | undefined }) {
    super(problem, options)
  }
}

/** True if the error or one of its causes is a {@link DatabaseUnavailableError}. */
export function isDatabaseUnavailable(error: unknown): boolean {
  return causesOf(error).some(cause => cause instanceof DatabaseUnavailableError)
}

/** The rows of one statement have more than 256 MB together. Its connection is closed. */
export class AnswerTooLargeError extends Error {
  override name = 'AnswerTooLargeError'

  constructor() {
    super('The answer of a statement is larger than 256 MB. Select less at once, or stream the rows.')
  }
}

/** True if the statement took longer than PostgreSQL allows: `statement_timeout`, `lock_timeout` or `transaction_timeout`. */
export function isStatementTimeout(error: unknown): boolean {
  return causesOf(error).some(cause => hasCode(cause, '57014', '55P03', '25P04') && !isRaised(cause))
}

/** True if concurrent statements got in each other's way, so that the same call may succeed now: a deadlock, or `serializable`. */
export function isConcurrencyConflict(error: unknown): boolean {
  return causesOf(error).some(cause => hasCode(cause, '40001', '40P01') && !isRaised(cause))
}

const hasCode = (error: Error, ...codes: string[]) => 'code' in error && codes.includes(String(error.code))

/** An error that a function of the application raises, whatever its code. */
const isRaised = (error: Error) => 'routine' in error && mistakeRoutines.has(String(error.routine))

/** True if a policy refused a row that the statement would write: its owner would be somebody else, or missing. */
export function isRefusedByPolicy(error: unknown): boolean {
  return causesOf(error)
    .map(cause => ({ code: '', routine: '', ...cause }))
    .some(({ code, routine }) => code === '42501' && routine === 'ExecWithCheckOptions')
}

/**
 * Wraps an error of a statement in a {@link DatabaseUnavailableError} if it is an outage. Adds `advice` if the role lacks a right.
 *
 * @param options.isReadOnly the caller's transaction is read-only, so it is their mistake that it writes
 */
export function wrapStatementError(error: unknown, { isReadOnly }: { isReadOnly: boolean }): unknown {
  if (!(error instanceof Error)) return error
  // 25006: the server has become read-only, as before a failover.
  if (isOutage(error) || (hasCode(error, '25006') && !isReadOnly && !isRaised(error)))
    return new DatabaseUnavailableError({ cause: error })
  return isPermissionDenied(error) ? Object.assign(error, { advice: grantAdvice }) : error
}

const grantAdvice =
  'Give callers access in a migration: protectTable (own rows) or shareTable (read only) for a table, a grant to the application role for a view, function or sequence. A grant alone on a table is a gap.'

const isPermissionDenied = (error: Error) => 'routine' in error && error.routine === 'aclcheck_error'

/** Wraps an error of the audit. A missing schema means that the migrations have not run, which is an outage. */
export function wrapAuditError(error: unknown): unknown {
  if (!(error instanceof Error && isSchemaMissing(error))) return error
  const cause = new Error(
    'The database is not migrated. Run npx trpc-bearer migrate, or call migrateToLatest.',
    {
      cause: error,
    },
  )
  return new DatabaseUnavailableError({ cause })
}

/** Wraps an error of setting the identity. A missing role, or one that the login may not become, is an outage. */
export function wrapIdentityError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === '22023' || code === '42501' ? new DatabaseUnavailableError({ cause: error }) : error
}

function isOutage(error: Error): boolean {
  if (isIdentityRejected(error)) return true
  const { code } = { code: '', ...error }
  if (isRaised(error)) return false
  // Class 08: connection exception, 53: out of resources, 57P: shut down. 25P03: the transaction was idle for too long, and its connection is closed.
  if (/^(08|53|57P|25P03)/.test(code) || networkCodes.has(code)) return true
  return isSchemaMissing(error) || brokenConnection.test(error.message)
}

/** Start of the database's error message for an identity without a valid signature. */
export const identityRejected = 'The identity is rejected'

/** True if the database rejects the signature of this server, because `FENCE_SECRET` is missing or wrong. */
export function isIdentityRejected(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    error.code === '28000' &&
    error.message.startsWith(identityRejected)
  )
}

/** True if the schema of the package is missing. Each language of the server quotes the name in its own way. */
function isSchemaMissing(error: Error): boolean {
  return 'code' in error && error.code === '3F000' && /[^\w\s.]trpc_bearer[^\w\s.]/.test(error.message)
}

/** Mistakes in a statement, whatever the code: RAISE in a function, a wrong number of parameters. */
const mistakeRoutines = new Set(['exec_stmt_raise', 'exec_bind_message'])

const networkCodes = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT'])

// pg's own errors have no code.
const brokenConnection =
  /^(Connection terminated|Client has encountered a connection error|Client was closed)/

/** The last one: the package is there, but another version, without the path. */
const missingCodes = new Set<unknown>([
  'ERR_MODULE_NOT_FOUND',
  'MODULE_NOT_FOUND',
  'ERR_PACKAGE_PATH_NOT_EXPORTED',
])

/** Thrown if an optional package is not installed. The message says which. */
export class MissingPackageError extends Error {
  override name = 'MissingPackageError'
}

/**
 * Waits for the import of packages that are installed only where they are needed. Such an import tells bundlers to leave it alone,
 * because they would fail where the package is missing.
 *
 * @throws MissingPackageError with this message if one is not installed
 */
export async function loadOptional<T>(loading: Promise<T>, message: string): Promise<T> {
  try {
    return await loading
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (!missingCodes.has(code)) throw cause
    throw new MissingPackageError(message, { cause })
  }
}
