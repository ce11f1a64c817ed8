import { createRequire } from 'node:module'
import { join } from 'node:path'
import pg from 'pg'
import { DatabaseUrlError, databaseUrlProblem } from '../database-url.js'

/** Options of `openDatabase` for its connections. */
export interface PoolOptions {
  /** URL of PostgreSQL 15 or later, with the usual TLS parameters (`?sslmode=verify-full`). @default the embedded database */
  url?: string | undefined
  /**
   * The application's own `pg.Pool`, in place of `url`: with its TLS, password function, type parsers and events. `close()` does not end it.
   * Its options count instead of `poolMax` and `connectTimeout`.
   */
  pool?: pg.Pool | undefined
  /** More options of the `pg.Pool` for `url`, such as `ssl` or `application_name`. They win over `poolMax` and `connectTimeout`. */
  poolOptions?: Omit<pg.PoolConfig, 'connectionString'> | undefined
  /** Maximum number of connections. The embedded database has one. @default 10 */
  poolMax?: number | undefined
  /** Maximum wait for a connection, in seconds. @default 5 */
  connectTimeout?: number | undefined
}

/** A pool, and how to end it. */
export interface OwnPool {
  pool: pg.Pool
  /** Can be called again. Does nothing for a pool of the application. */
  end(): Promise<void>
}

const endTimeoutMs = 10_000

/**
 * Makes the pool, or takes the one of the application.
 *
 * @param embedded the embedded database: how to connect to it, and how to close it after its connections
 * @throws DatabaseUrlError if the URL is wrong
 * @throws TypeError if the pool is of a version of pg that does not fit
 */
export function openPool(
  { url, pool: given, poolOptions, poolMax = 10, connectTimeout = 5 }: PoolOptions,
  embedded?: { connection: pg.PoolConfig; close(): Promise<void> },
): OwnPool {
  const problem = url === undefined ? undefined : databaseUrlProblem(url)
  if (problem !== undefined) throw new DatabaseUrlError(`The url of the database ${problem}`)
  const pool =
    given ??
    new pg.Pool({
      max: poolMax,
      connectionTimeoutMillis: connectTimeout * 1000,
      keepAlive: true,
      ...poolOptions,
      ...(embedded?.connection ?? { connectionString: url }),
    })
  requireSupportedPool(pool)
  // Without listeners a broken connection would end the process. The next query reports it.
  pool.on('error', ignore)
  pool.on('acquire', ignoreErrorsOf)
  const leave = async () => {
    pool.off('error', ignore)
    pool.off('acquire', ignoreErrorsOf)
  }
  let ending: Promise<void> | undefined
  const clients = new Set<pg.PoolClient>()
  if (given === undefined)
    pool.on('connect', client => clients.add(client)).on('remove', client => clients.delete(client))
  const endOwn = async () => {
    // A statement without a time limit may wait for a server that has fallen silent.
    const timer = setTimeout(() => clients.forEach(destroy), endTimeoutMs)
    await pool.end().finally(() => clearTimeout(timer))
    await embedded?.close()
  }
  const end = () => {
    ending ??= given === undefined ? endOwn() : leave()
    return ending
  }
  return { pool, end }
}

/** Closes a connection that is not given back in time, in milliseconds, because its server has fallen silent. */
export function limitHold(client: pg.PoolClient, milliseconds: number): pg.PoolClient {
  const timer = setTimeout(() => destroy(client), milliseconds)
  const { release } = client
  client.release = error => {
    clearTimeout(timer)
    release(error)
  }
  return client
}

function destroy(client: pg.PoolClient): void {
  const { stream } = Reflect.get(client, 'connection')
  stream.destroy(new Error('Connection terminated: the server did not answer in time.'))
}

const ignore = () => {}

/** Once for each connection: the pool of the application may have opened it before, and more than one database may use it. */
function ignoreErrorsOf(client: pg.PoolClient): void {
  if (client.listenerCount('error', ignore) === 0) client.on('error', ignore)
}

/** What the scoped statements use of pg beyond its types. */
const neededMethods = ['parse', 'bind', 'describe', 'execute', 'sync', 'parsedStatements', 'stream']

function requireSupportedPool(pool: pg.Pool): void {
  const isPool = typeof pool?.connect === 'function' && 'Client' in pool && typeof pool.Client === 'function'
  if (!isPool) throw new TypeError('The option pool must be a Pool of the package pg.')
  const client: object = Reflect.construct(pool.Client as new (options: object) => object, [{}])
  const connection: unknown = Reflect.get(client, 'connection')
  const lacks = [
    ...(typeof Reflect.get(client, 'getTransactionStatus') === 'function' ? [] : ['getTransactionStatus']),
    ...neededMethods.filter(
      name => typeof connection !== 'object' || connection === null || !(name in connection),
    ),
  ]
  if (lacks.length > 0)
    throw new TypeError(
      `This pool is of ${versionOf(pool)} and lacks ${lacks.join(', ')}. trpc-bearer needs pg 8.23, as its package.json says; pg-native does not work.`,
    )
}

/** The pg of this package, or the one that the application finds in its folder. */
function versionOf(pool: object): string {
  for (const place of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      const require = createRequire(place)
      const { Pool }: typeof pg = require('pg')
      const { version }: { version: string } = require('pg/package.json')
      if (pool instanceof Pool) return `pg ${version}`
    } catch {}
  }
  return 'another copy of pg, whose version is not known,'
}
