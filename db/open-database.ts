import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { userId } from '../shared/user.js'
import { defaultRole } from './application-role.js'
import { type EmbeddedDatabase, joinEmbedded, startEmbedded } from './embedded/pglite.js'
import { DatabaseUnavailableError, wrapAuditError } from './errors.js'
import { auditFence, type FenceReport } from './fence/audit.js'
import { createFenceGate } from './fence/gate.js'
import type { FenceLevel } from './fence/level.js'
import { requireFenceSecret } from './fence/secret.js'
import { migrateToLatest } from './migrations/migrator.js'
import type { Database } from './schema.js'
import { type ScopedDialectOptions, scopedDialect } from './scoped/dialect.js'
import { createIdentify } from './scoped/identity.js'
import { readSessionFacts, type SessionFacts } from './scoped/session-facts.js'
import { createStatementCache } from './scoped/statement-cache.js'

/** Options of {@link openDatabase}. */
export interface DatabaseOptions {
  /** URL of PostgreSQL 15 or later, with the usual TLS parameters (`?sslmode=verify-full`). @default the embedded database */
  url?: string | undefined
  /** Folder of the embedded database. @default '.data' */
  dataDir?: string | undefined
  /** Role that scoped statements run as. @default 'app_user' */
  role?: string | undefined
  /** Maximum number of connections. The embedded database has one. @default 10 */
  poolMax?: number | undefined
  /** Maximum wait for a connection, in seconds. @default 5 */
  connectTimeout?: number | undefined
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
   * Returns a handle on which every statement runs as the application role with this user's id: it sees and writes only the rows of
   * this user.
   *
   * A stream keeps its connection until it ends, so use another handle inside its loop. It is closed if nobody reads from it for
   * `statementTimeout` and 5 seconds. A transaction with an open stream does not commit.
   *
   * @param options.signal cancels the running statement (the embedded database finishes it first) and refuses later ones
   * @throws TypeError if the id is empty, longer than 255 characters, or contains NUL
   */
  forUser(userId: string, options?: { signal?: AbortSignal | undefined }): Kysely<Database>
  /** Checks that users are kept apart, and returns the gaps. Scoped statements are refused while there is a gap. */
  fence(): Promise<FenceReport>
  /** Numbers of the pool: open connections, idle connections, and callers that wait for one. */
  pool(): { total: number; idle: number; waiting: number }
  /** Closes all connections, and the embedded database. */
  close(): Promise<void>
}

/**
 * Opens PostgreSQL. With a `url` it neither connects nor migrates yet: run `npm run migrate`, or call {@link migrateToLatest}.
 * Without a `url` it starts the embedded database in `dataDir` and migrates it.
 *
 * @throws TypeError if `fenceSecret` is too short
 * @throws DataDirInUseError if another process has `dataDir` open
 * @throws MissingPackageError if there is no `url` and PGlite is not installed
 */
export async function openDatabase({
  url,
  dataDir = '.data',
  role = defaultRole,
  poolMax = 10,
  connectTimeout = 5,
  statementTimeout = 15,
  preparedStatements = true,
  fenceSecret,
  requiredFence,
  onProblem = console.warn,
  join = false,
}: DatabaseOptions = {}): Promise<OpenDatabase> {
  if (fenceSecret !== undefined) requireFenceSecret(fenceSecret)
  const embedded = url === undefined ? await openEmbedded(dataDir, join) : null
  const pool = new pg.Pool({
    max: poolMax,
    connectionTimeoutMillis: connectTimeout * 1000,
    keepAlive: true,
    ...(embedded?.connection ?? { connectionString: url }),
  })
  // Without listeners a broken connection would end the process. The next query reports it.
  pool.on('error', () => {})
  pool.on('connect', client => client.on('error', () => {}))
  // The embedded database is one session, so its connections would share the names of prepared statements.
  const prepare = preparedStatements && embedded === null
  let facts: SessionFacts = { searchPath: 'pg_temp', volatileFunctions: new Set(), parsesUnderSettings: true }
  const inspect = createStatementCache({ prepare, facts: () => facts })
  const identify = createIdentify({ secret: fenceSecret, prepare, searchPath: () => facts.searchPath })
  const connect = () =>
    pool.connect().catch(cause => {
      throw new DatabaseUnavailableError({ cause })
    })
  let ending: Promise<void> | undefined
  const end = () => {
    ending ??= pool.end().then(() => embedded?.close())
    return ending
  }
  // The kysely command only calls `db.destroy()`, so that closes everything too.
  const dialect = new PostgresDialect({ pool: { connect, end, options: pool.options } })
  const db = new Kysely<Database>({ dialect })
  const close = async () => {
    await db.destroy()
    await end()
  }
  try {
    if (embedded !== null) await migrateToLatest(db, { role })
  } catch (error) {
    await close()
    throw error
  }
  const scoped = (id: string, options: Pick<ScopedDialectOptions, 'beforeConnect' | 'signal'>) => {
    const caller = { userId: id, role, statementTimeout: statementTimeout * 1000 }
    return new Kysely<Database>({ dialect: scopedDialect(pool, { caller, identify, inspect, ...options }) })
  }
  const gate = createFenceGate(
    async () => {
      const found = await readSessionFacts(db)
      // The same object while nothing changes, so that known statements need no new check.
      if (!isDeepStrictEqual(found, facts)) facts = found
      return auditFence({
        db,
        role,
        withoutRows: scoped(randomUUID(), { beforeConnect: async () => {} }),
        timeout: statementTimeout * 1000,
        required: requiredFence,
      }).catch(error => {
        throw wrapAuditError(error)
      })
    },
    { onProblem },
  )
  return {
    admin: db,
    forUser: (id, { signal } = {}) => scoped(requireUserId(id), { beforeConnect: gate.check, signal }),
    fence: gate.audit,
    pool: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close,
  }
}

function requireUserId(id: string): string {
  const { success, data } = userId.safeParse(id)
  if (!success) throw new TypeError('The id of a user must be a string of 1 to 255 characters, without NUL.')
  return data
}

async function openEmbedded(dataDir: string, join: boolean): Promise<EmbeddedDatabase> {
  return (join ? await joinEmbedded(dataDir) : null) ?? (await startEmbedded(dataDir))
}
