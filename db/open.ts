import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { userId } from '../shared/user.js'
import { type EmbeddedDatabase, joinEmbedded, startEmbedded } from './embedded.js'
import { migrateToLatest } from './migrate.js'
import { defaultRole } from './role.js'
import type { Database } from './schema.js'
import { scopedDialect } from './scope.js'
import { DatabaseUnavailableError } from './unavailable.js'

/** Options of {@link openDatabase}. */
export interface DatabaseOptions {
  /** PostgreSQL 15 or later, TLS by the usual parameters (`?sslmode=verify-full`). Without one the embedded database is started. */
  url?: string
  /** Folder of the embedded database. @default '.data' */
  dataDir?: string
  /** Role that scoped statements run as. @default 'app_user' */
  role?: string
  /** Most connections at once. The embedded database has one. @default 10 */
  poolMax?: number
  /** Longest time to wait for a connection, in seconds. @default 5 */
  connectTimeout?: number
  /** Longest time a scoped statement may take, in seconds. @default 15 */
  statementTimeout?: number
  /** Use the embedded database that another process has open, instead of being refused. For the kysely command. @default false */
  join?: boolean
}

/** An open database: what `createContextFactory` and the handlers take as `db`. */
export interface OpenDatabase {
  /** The unscoped handle, for migrations and administration. It sees every row: never give it to a procedure. */
  db: Kysely<Database>
  /**
   * A handle on which every statement runs as the application role with this user's id: it sees and writes the rows of
   * this user alone.
   *
   * @throws when the id is empty, longer than 255 characters, or not storable as text
   */
  forUser(userId: string): Kysely<Database>
  /** Connections of the pool: open, idle, and callers that wait for one. */
  pool(): { total: number; idle: number; waiting: number }
  /** Closes every connection, and the embedded database with its folder's lock. */
  close(): Promise<void>
}

/**
 * Opens PostgreSQL. With a `url` nothing is connected yet and nothing is migrated (that is `npm run migrate`, or
 * {@link migrateToLatest}); without one the embedded database is started in `dataDir` and brought to the latest schema.
 *
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
  join = false,
}: DatabaseOptions = {}): Promise<OpenDatabase> {
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
  return {
    db,
    forUser: id =>
      new Kysely<Database>({
        dialect: scopedDialect(pool, {
          userId: userId.parse(id),
          role,
          statementTimeout: statementTimeout * 1000,
        }),
      }),
    pool: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close,
  }
}

async function embed(dataDir: string, join: boolean): Promise<EmbeddedDatabase> {
  return (join ? await joinEmbedded(dataDir) : null) ?? (await startEmbedded(dataDir))
}
