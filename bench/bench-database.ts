import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { type DatabaseOptions, type OpenDatabase, openDatabase } from '../db/index.js'
import { migrateAll } from '../test/parts/migrate.js'

/** DATABASE_URL of the environment. @throws Error if it is not set */
export function requireDatabaseUrl(): string {
  const { DATABASE_URL: url } = process.env
  if (url) return url
  throw new Error('DATABASE_URL: not set. Use a PostgreSQL over TCP whose login may create databases.')
}

/** A new migrated database, dropped at the end, because the level of isolation belongs to a database. */
export interface BenchDatabase extends OpenDatabase, AsyncDisposable {
  url: string
  /** The secret of the level `signed`. */
  secret: string
}

/**
 * Creates a database and opens it, by default with one connection.
 *
 * @param url of a login that may create databases
 */
export async function benchDatabase(url: string, options: DatabaseOptions = {}): Promise<BenchDatabase> {
  const name = `bench_${randomBytes(6).toString('hex')}`
  const secret = randomBytes(32).toString('hex')
  const own = new URL(url)
  own.pathname = `/${name}`
  const server = await openDatabase({ url })
  await sql`create database ${sql.id(name)}`.execute(server.admin)
  const database = await openDatabase({
    url: own.href,
    poolMax: 1,
    statementTimeout: 600,
    fenceSecret: secret,
    ...options,
  })
  await migrateAll(database.admin)
  return {
    ...database,
    url: own.href,
    secret,
    async [Symbol.asyncDispose]() {
      await database.close()
      await sql`drop database ${sql.id(name)} with (force)`.execute(server.admin)
      await server.close()
    },
  }
}
