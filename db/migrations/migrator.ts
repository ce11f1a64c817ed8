import { sql } from 'kysely'
import { type Migration, type MigrationResult, type MigrationResultSet, Migrator } from 'kysely/migration'
import { defaultRole, rolePattern } from '../application-role.js'
import type { AnyKysely } from '../schema.js'
import * as tasks from './0001_tasks.js'
import { lockMigrations, migrationTable } from './migration-table.js'

/** The package's own migrations, for the role `app_user`. */
export const migrations: Record<string, Migration> = migrationsFor(defaultRole)

function migrationsFor(role: string): Record<string, Migration> {
  if (!rolePattern.test(role)) {
    throw new TypeError(
      `The application role must be a lower-case PostgreSQL name such as app_user, not ${JSON.stringify(role)}.`,
    )
  }
  return {
    '0001_tasks': { up: db => tasks.up(db, role), down: tasks.down },
  }
}

/**
 * Migrates the package's own tables to the latest version, in one transaction. Safe if many processes start at once, directly and
 * through PgBouncer. The table `trpc_bearer_migration` records it, so your own Kysely migrations are independent.
 *
 * @param db the unscoped handle of a login that may create tables and roles
 * @param options.role name of the application role. @default 'app_user'
 * @returns the names of the migrations that ran now
 * @throws the error of PostgreSQL; nothing has changed then
 */
export async function migrateToLatest(db: AnyKysely, { role = defaultRole } = {}): Promise<string[]> {
  const { error, results = [] } = await runPendingMigrations(db, role)
  if (error !== undefined) throw error
  return results.map(result => result.migrationName)
}

async function runPendingMigrations(db: AnyKysely, role: string): Promise<MigrationResultSet> {
  const results: MigrationResult[] = []
  try {
    const all = Object.entries(migrationsFor(role))
    await db.transaction().execute(async trx => {
      await requireSupportedServer(trx)
      await lockMigrations(trx)
      await sql`
        create table if not exists ${sql.table(migrationTable)} (
          name varchar(255) primary key, timestamp varchar(255) not null
        )`.execute(trx)
      const rows = await trx.selectFrom(migrationTable).select('name').execute()
      for (const [migrationName, migration] of all) {
        if (rows.some(({ name }) => name === migrationName)) continue
        const result: MigrationResult = { migrationName, direction: 'Up', status: 'Error' }
        results.push(result)
        await migration.up(trx)
        const timestamp = new Date().toISOString()
        await trx.insertInto(migrationTable).values({ name: migrationName, timestamp }).execute()
        results[results.length - 1] = { ...result, status: 'Success' }
      }
    })
    return { results }
  } catch (error) {
    return { error, results }
  }
}

async function requireSupportedServer(db: AnyKysely): Promise<void> {
  const { rows } = await sql<{ version: string; encoding: string }>`
    select current_setting('server_version') as version, current_setting('server_encoding') as encoding`.execute(
    db,
  )
  const { version = '', encoding = '' } = rows[0] ?? {}
  if (Number.parseInt(version, 10) < 15)
    throw new Error(`The server runs PostgreSQL ${version}. Version 15 or later is required.`)
  if (encoding !== 'UTF8') throw new Error(`The database has the encoding ${encoding}. UTF8 is required.`)
}

/**
 * Kysely takes a session-level lock, which PgBouncer in transaction mode leaves behind, and creates its tables outside the
 * transaction. `latest`, which deployments run, avoids both; the other commands are Kysely's own.
 */
class PackageMigrator extends Migrator {
  readonly #db: AnyKysely
  readonly #role: string

  constructor(db: AnyKysely, role: string) {
    super({
      db,
      provider: { getMigrations: async () => migrationsFor(role) },
      migrationTableName: migrationTable,
      migrationLockTableName: `${migrationTable}_lock`,
    })
    this.#db = db
    this.#role = role
  }

  override migrateToLatest(): Promise<MigrationResultSet> {
    return runPendingMigrations(this.#db, this.#role)
  }
}

/** Creates the migrator of the `kysely` command. Its `migrateToLatest` is the function {@link migrateToLatest}. */
export function createMigrator(db: AnyKysely, role = defaultRole): Migrator {
  return new PackageMigrator(db, role)
}

/** Names of the package's migrations that have not run on this database. Needs no rights of the login. */
export async function pendingMigrations(db: AnyKysely): Promise<string[]> {
  const all = Object.keys(migrations)
  const { rows } = await sql<{ exists: boolean }>`
    select to_regprocedure('trpc_bearer.migrations()') is not null as exists`.execute(db)
  if (!rows[0]?.exists) return all
  const done = await sql<{ name: string }>`select trpc_bearer.migrations() as name`.execute(db)
  return all.filter(name => !done.rows.some(row => row.name === name))
}
