import pg from 'pg'
import { DatabaseUrlError, databaseUrlProblem } from '../database-url.js'

/** What `openDatabase` says about its connections. */
export interface PoolOptions {
  url?: string | undefined
  pool?: pg.Pool | undefined
  poolOptions?: Omit<pg.PoolConfig, 'connectionString'> | undefined
  poolMax?: number | undefined
  connectTimeout?: number | undefined
}

/** A pool, and how to end it. */
export interface OwnPool {
  pool: pg.Pool
  /** Can be called again. Does nothing for a pool of the application. */
  end(): Promise<void>
}

/**
 * Makes the pool, or takes the one of the application.
 *
 * @param embedded how to connect to the embedded database
 * @throws DatabaseUrlError if the URL is wrong
 * @throws TypeError if the pool is of a version of pg that does not fit
 */
export function openPool(
  { url, pool: given, poolOptions, poolMax = 10, connectTimeout = 5 }: PoolOptions,
  embedded: pg.PoolConfig | undefined,
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
      ...(embedded ?? { connectionString: url }),
    })
  requireSupportedPool(pool)
  // Without listeners a broken connection would end the process. The next query reports it.
  pool.on('error', () => {})
  pool.on('connect', client => client.on('error', () => {}))
  let ending: Promise<void> | undefined
  const end = () => {
    ending ??= given === undefined ? pool.end() : Promise.resolve()
    return ending
  }
  return { pool, end }
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
      `This pool is of a version of pg that lacks ${lacks.join(', ')}. trpc-bearer needs pg 8.23, as its package.json says; pg-native does not work.`,
    )
}
