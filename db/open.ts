import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { userId } from '../shared/user.js'
import { type EmbeddedDatabase, joinEmbedded, startEmbedded } from './embedded.js'
import { type FenceReport, proveFence } from './fence.js'
import { createFenceGate } from './fence-gate.js'
import type { FenceLevel } from './fence-level.js'
import { requireFenceSecret } from './fence-secret.js'
import { createIdentify } from './identity.js'
import { migrateToLatest } from './migrate.js'
import { defaultRole } from './role.js'
import type { Database } from './schema.js'
import { scopedDialect } from './scope.js'
import type { ScopeOptions } from './scoped-connection.js'
import { readSessionFacts, type SessionFacts } from './session-facts.js'
import { createStatementCache } from './statement-cache.js'
import { DatabaseUnavailableError, fromProof } from './unavailable.js'

/** Options of {@link openDatabase}. */
export interface DatabaseOptions {
  /** PostgreSQL 15 or later, TLS by the usual parameters (`?sslmode=verify-full`). Without one the embedded database is started. */
  url?: string | undefined
  /** Folder of the embedded database. @default '.data' */
  dataDir?: string | undefined
  /** Role that scoped statements run as. @default 'app_user' */
  role?: string | undefined
  /** Most connections at once. The embedded database has one. @default 10 */
  poolMax?: number | undefined
  /** Longest time to wait for a connection, in seconds. @default 5 */
  connectTimeout?: number | undefined
  /** Longest time a scoped statement may take, in seconds. @default 15 */
  statementTimeout?: number | undefined
  /** Signs the identity, for the level `signed`: what `setUpFence` was given, 32 characters or more. */
  fenceSecret?: string | undefined
  /** Refuse scoped statements below this level. @default what stands */
  requiredFence?: FenceLevel | undefined
  /** Keep statements prepared on each connection. Off for PgBouncer before 1.21 in transaction mode. @default true */
  preparedStatements?: boolean | undefined
  /** Hears of what goes wrong behind the callers: a proof of the fence that failed. @default console.warn */
  onProblem?: ((problem: string, error: unknown) => void) | undefined
  /** Use the embedded database that another process has open, instead of being refused. For the kysely command. @default false */
  join?: boolean | undefined
}

/** An open database: what `createContextFactory` and the handlers take as `db`. */
export interface OpenDatabase {
  /** The unscoped handle, for migrations and administration. It sees every row: never give it to a procedure. */
  db: Kysely<Database>
  /**
   * A handle on which every statement runs as the application role with this user's id: it sees and writes the rows of
   * this user alone. A stream has its connection until it is read to its end or left, and nothing else runs there: what is awaited in
   * its loop goes by another handle, as on its own transaction Kysely lets it wait for the stream. One that nobody reads on for
   * `statementTimeout` and 5 seconds, or whose caller has gone, loses its connection; with one open no transaction commits.
   *
   * @param options.signal cancels what runs (on the embedded database it is only waited for), and refuses what comes after
   * @throws TypeError when the id is empty, longer than 255 characters, or not storable as text
   */
  forUser(userId: string, options?: { signal?: AbortSignal }): Kysely<Database>
  /**
   * Proves that users are kept apart (see `proveFence`), and answers what is missing. Scoped statements are refused while
   * something is.
   */
  fence(): Promise<FenceReport>
  /** Connections of the pool: open, idle, and callers that wait for one. */
  pool(): { total: number; idle: number; waiting: number }
  /** Closes every connection, and the embedded database with its folder's lock. */
  close(): Promise<void>
}

/**
 * Opens PostgreSQL. With a `url` nothing is connected yet and nothing is migrated (that is `npm run migrate`, or
 * {@link migrateToLatest}); without one the embedded database is started in `dataDir` and brought to the latest schema.
 *
 * @throws TypeError for a `fenceSecret` that is too short
 * @throws DataDirInUseError when another process has `dataDir` open
 * @throws MissingPackageError when there is no `url` and PGlite is not installed
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
  const embedded = url === undefined ? await embed(dataDir, join) : null
  const pool = new pg.Pool({
    max: poolMax,
    connectionTimeoutMillis: connectTimeout * 1000,
    keepAlive: true,
    ...(embedded?.connection ?? { connectionString: url }),
  })
  // A connection that breaks while idle or checked out is the next query's error, not the end of the process.
  pool.on('error', () => {})
  pool.on('connect', client => client.on('error', () => {}))
  // The embedded database is one session: a statement that one connection prepared is there for the next one too.
  const prepare = preparedStatements && embedded === null
  let facts: SessionFacts = { searchPath: 'pg_temp', volatileFunctions: new Set(), readsSettingsOnce: true }
  const know = createStatementCache({ prepare, facts: () => facts })
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
  // `db.destroy()` ends all of it too: it is all that the kysely command calls.
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
  const scoped = (id: string, options: Pick<ScopeOptions, 'pass' | 'signal'>) => {
    const scope = { userId: id, role, statementTimeout: statementTimeout * 1000 }
    return new Kysely<Database>({ dialect: scopedDialect(pool, { scope, identify, know, ...options }) })
  }
  const gate = createFenceGate(
    async () => {
      const found = await readSessionFacts(db, role)
      // The same object as long as nothing has changed: known statements are not judged anew with each proof.
      if (!isDeepStrictEqual(found, facts)) facts = found
      return proveFence({
        db,
        role,
        forNobody: scoped(randomUUID(), { pass: async () => {} }),
        timeout: statementTimeout * 1000,
        required: requiredFence,
      }).catch(error => {
        throw fromProof(error)
      })
    },
    { onProblem },
  )
  return {
    db,
    forUser: (id, { signal } = {}) => scoped(requireUserId(id), { pass: gate.pass, signal }),
    fence: gate.prove,
    pool: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close,
  }
}

function requireUserId(id: string): string {
  const { success, data } = userId.safeParse(id)
  if (!success) throw new TypeError('The id of a user must be 1 to 255 characters of text, without NUL.')
  return data
}

async function embed(dataDir: string, join: boolean): Promise<EmbeddedDatabase> {
  return (join ? await joinEmbedded(dataDir) : null) ?? (await startEmbedded(dataDir))
}
