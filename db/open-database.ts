import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { Kysely, PostgresDialect } from 'kysely'
import { callHook } from '../shared/error-handling.js'
import { type User, userId } from '../shared/user.js'
import { defaultRole } from './application-role.js'
import { databaseProblem } from './database-problem.js'
import { joinEmbedded, startEmbedded } from './embedded/pglite.js'
import { DatabaseUnavailableError, wrapAuditError } from './errors.js'
import { auditFence, checkFence, type FenceReport } from './fence/audit.js'
import { createFenceGate } from './fence/gate.js'
import type { FenceLevel } from './fence/level.js'
import { requireFenceSecret } from './fence/secret.js'
import { migrateToLatest } from './migrations/migrator.js'
import type { Database } from './schema.js'
import { grace } from './scoped/connection.js'
import { type ScopedDialectOptions, scopedDialect } from './scoped/dialect.js'
import { createIdentify, identityStatementOf } from './scoped/identity.js'
import { readSessionFacts, type SessionFacts } from './scoped/session-facts.js'
import { createStatementCache } from './scoped/statement-cache.js'
import { ownerName } from './tables/owner.js'
import { limitHold, openPool, type PoolOptions } from './wire/pool.js'

/** Options of {@link openDatabase}. */
export interface DatabaseOptions extends PoolOptions {
  /** Folder of the embedded database. @default '.data' */
  dataDir?: string | undefined
  /** Role that scoped statements run as. @default 'app_user' */
  role?: string | undefined
  /**
   * Other values of the caller that own rows, for `protectTable(db, table, { by })`: `{ org: user => user.orgId }`. A caller for whom it
   * returns null, undefined or '' has none of those rows.
   */
  owners?: Readonly<Record<string, (user: User) => string | number | bigint | null | undefined>> | undefined
  /** Maximum duration of a scoped statement, in seconds. @default 15 */
  statementTimeout?: number | undefined
  /** Signs the identity, for the level `signed`. The same secret as in `setUpFence`, at least 32 characters. */
  fenceSecret?: string | undefined
  /** Refuses scoped statements below this level. @default any level */
  requiredFence?: FenceLevel | undefined
  /** Keeps prepared statements on each connection. Turn it off for PgBouncer before 1.21 in transaction mode. @default true */
  preparedStatements?: boolean | undefined
  /** Called for problems in the background, such as an audit that fails. @default console.warn */
  onProblem?: ((problem: string, error: unknown) => void) | undefined
  /** Uses an embedded database that another process has open, instead of throwing. For commands. @default false */
  join?: boolean | undefined
}

/** An open database: the option `database` of `createContextFactory` and of the handlers. */
export interface OpenDatabase {
  /** The unscoped handle, for migrations and administration. Never give it to a procedure. */
  admin: Kysely<Database>
  /**
   * Returns a handle on which every statement runs as the application role for this user: it sees and writes only the rows of this user,
   * and those of the `owners` of this user. A text is the id of a user without other values.
   *
   * A stream keeps its connection until it ends, so use another handle inside its loop. It is closed if nobody reads from it for
   * `statementTimeout` and 5 seconds, and with its transaction.
   *
   * @param options.signal cancels the running statement (the embedded database finishes it first) and refuses later ones
   * @throws TypeError if the id or a value of `owners` is longer than 255 characters or contains NUL, or if the id is empty
   */
  forUser(user: User | string, options?: { signal?: AbortSignal | undefined }): Kysely<Database>
  /**
   * The statement to run first in a transaction of Drizzle, Prisma or plain pg: until the end of the transaction its statements run as the
   * application role for this user. It does not check the fence: call {@link fence} when your server starts.
   *
   * @returns text with `$1`, `$2`, … and its values
   * @throws TypeError as `forUser` does
   */
  identityStatement(user: User | string): { text: string; values: unknown[] }
  /** Checks completely that users are kept apart, and returns the gaps. Scoped statements are refused while there is a gap. */
  fence(): Promise<FenceReport>
  /**
   * The report of the check that runs at the first call and every minute: the last one, if it is at most ten seconds old. It has the gaps
   * and the level, and no notes. For health checks.
   */
  gate(): Promise<FenceReport>
  /** Numbers of the pool: open connections, idle connections, and callers that wait for one. */
  pool(): { total: number; idle: number; waiting: number }
  /** Closes all connections, and the embedded database. */
  close(): Promise<void>
}

const maxNameErrors = 3

/**
 * Opens PostgreSQL. With a `url` or a `pool` it neither connects nor migrates yet: run `npx trpc-bearer migrate`, or call {@link migrateToLatest}.
 * Without both it starts the embedded database in `dataDir` and migrates it, with a warning if `url` is given but undefined.
 *
 * @throws TypeError if `fenceSecret` is too short, or if the pool is of another version of pg
 * @throws DatabaseUrlError if `url` is not a URL of PostgreSQL
 * @throws DataDirInUseError if another process has `dataDir` open
 * @throws MissingPackageError if there is no `url` and PGlite is not installed
 */
export async function openDatabase(options: DatabaseOptions = {}): Promise<OpenDatabase> {
  const {
    role = defaultRole,
    owners = {},
    statementTimeout = 15,
    preparedStatements = true,
    fenceSecret,
    requiredFence,
    onProblem = console.warn,
  } = options
  if (fenceSecret !== undefined) requireFenceSecret(fenceSecret)
  const ownerNames = requireOwnerNames(owners)
  const { embedded, pool, end } = await connectTo(options)
  // The embedded database is one session, so its connections would share the names of prepared statements.
  let usesNames = preparedStatements && !embedded
  let nameErrors = 0
  const prepare = () => usesNames
  // One such error may come from a `deallocate` of the application.
  const onNameError = (error: unknown) => {
    if (!usesNames || ++nameErrors < maxNameErrors) return
    usesNames = false
    const problem =
      'Prepared statements are switched off until this process ends, because a pooler does not know them: set preparedStatements (DATABASE_PREPARED_STATEMENTS) to false.'
    callHook(
      () => onProblem(problem, error),
      () => console.warn(problem),
    )
  }
  let facts: SessionFacts = {
    searchPath: 'pg_temp',
    functions: new Set(),
    hasSideEffects: true,
    parsesUnderSettings: true,
  }
  const inspect = createStatementCache({
    prepare,
    isSigned: fenceSecret !== undefined,
    facts: () => facts,
  })
  const identify = createIdentify({
    secret: fenceSecret,
    ownerNames,
    prepare,
    searchPath: () => facts.searchPath,
  })
  const connect = () =>
    pool.connect().catch(cause => {
      throw new DatabaseUnavailableError({ cause, problem: databaseProblem(cause, 'the database URL') })
    })
  // The kysely command only calls `db.destroy()`, so that closes everything too.
  const pooled = { connect, end, options: pool.options }
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool: pooled }) })
  const timeout = statementTimeout * 1000
  const connectBriefly = async () => limitHold(await connect(), timeout + grace)
  const checks = new Kysely<Database>({
    dialect: new PostgresDialect({ pool: { ...pooled, connect: connectBriefly } }),
  })
  const close = async () => {
    await db.destroy()
    await end()
  }
  try {
    if (embedded) await migrateToLatest(db, { role })
  } catch (error) {
    await close()
    throw error
  }
  const callerOf = (user: User) => {
    const values = ownerNames.map(name => [name, ownerValue(name, owners[name]?.(user))])
    return {
      userId: user.id,
      owners: Object.fromEntries(values),
      role,
      statementTimeout: timeout,
    }
  }
  const scoped = (user: User, options: Pick<ScopedDialectOptions, 'beforeConnect' | 'signal'>) => {
    const caller = callerOf(user)
    return new Kysely<Database>({
      dialect: scopedDialect(pool, { caller, identify, inspect, onNameError, ...options }),
    })
  }
  const check = async (run: typeof auditFence) => {
    const found = await readSessionFacts(checks)
    // The same object while nothing changes, so that known statements need no new check.
    if (!isDeepStrictEqual(found, facts)) facts = found
    return run({
      db: checks,
      role,
      withoutRows: scoped({ id: randomUUID() }, { beforeConnect: async () => {} }),
      timeout,
      required: requiredFence,
      ownerNames,
    }).catch(error => {
      throw wrapAuditError(error)
    })
  }
  const gate = createFenceGate({
    runCheck: () => check(checkFence),
    runAudit: () => check(auditFence),
    onProblem,
  })
  return {
    admin: db,
    forUser: (user, { signal } = {}) => scoped(requireUser(user), { beforeConnect: gate.check, signal }),
    identityStatement: user => identityStatementOf(identify(callerOf(requireUser(user))).standard),
    fence: gate.audit,
    gate: gate.report,
    pool: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close,
  }
}

function requireUser(user: User | string): User {
  const given = typeof user === 'string' ? { id: user } : user
  if (!userId.safeParse(given.id).success)
    throw new TypeError('The id of a user must be a string of 1 to 255 characters, without NUL.')
  return given
}

function requireOwnerNames(owners: NonNullable<DatabaseOptions['owners']>): string[] {
  const names = Object.keys(owners)
  const wrong = names.find(name => name === 'user' || !ownerName.test(name))
  if (wrong !== undefined)
    throw new TypeError(
      `owners.${wrong}: a name must consist of lower-case letters, digits and _, and user is taken by the id of the user.`,
    )
  return names
}

function ownerValue(name: string, value: unknown): string {
  if (value === null || value === undefined || value === '') return ''
  const isId = typeof value === 'string' || typeof value === 'bigint' || Number.isSafeInteger(value)
  const text = isId ? String(value) : ''
  if (!userId.safeParse(text).success)
    throw new TypeError(
      `owners.${name} must return a string of at most 255 characters without NUL, an integer, or nothing.`,
    )
  return text
}

/** Opens the pool of the application, of the URL, or of the embedded database. */
async function connectTo(options: DatabaseOptions) {
  const { url, pool: given, dataDir = '.data', join = false } = options
  if (url !== undefined && given !== undefined) throw new TypeError('Give either url or pool, not both.')
  if (url !== undefined || given !== undefined) return { embedded: false, ...openPool(options) }
  // A variable that is not set must not go unnoticed.
  if ('url' in options && options.dataDir === undefined)
    console.warn(`The url of the database is undefined, so the embedded database in ${dataDir} is used.`)
  const database = (join ? await joinEmbedded(dataDir) : null) ?? (await startEmbedded(dataDir))
  return { embedded: true, ...openPool(options, database) }
}
