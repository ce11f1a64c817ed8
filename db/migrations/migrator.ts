import { sql } from 'kysely'
import { type MigrationResult, type MigrationResultSet, Migrator, NO_MIGRATIONS } from 'kysely/migration'
import { defaultRole } from '../application-role.js'
import type { AnyKysely } from '../schema.js'
import { migrationsFor } from './index.js'
import { lockMigrations, migrationTable as table } from './migration-table.js'

/**
 * Kysely's migrator with a lock that survives a transaction pooler. Kysely takes a session-level advisory lock, which
 * PgBouncer in transaction mode orphans; here everything, the lock too, is one transaction: it happens whole, once, however
 * many processes start at the same moment, or not at all.
 */
class TransactionalMigrator extends Migrator {
  readonly #db: AnyKysely
  readonly #role: string

  constructor(db: AnyKysely, role: string) {
    super({
      db,
      provider: { getMigrations: async () => migrationsFor(role) },
      migrationTableName: table,
      migrationLockTableName: `${table}_lock`,
    })
    this.#db = db
    this.#role = role
  }

  override migrateToLatest(): Promise<MigrationResultSet> {
    return this.#run((_done, pending) => ({ direction: 'Up', names: pending }))
  }

  override migrateUp(): Promise<MigrationResultSet> {
    return this.#run((_done, pending) => ({ direction: 'Up', names: pending.slice(0, 1) }))
  }

  override migrateDown(): Promise<MigrationResultSet> {
    return this.#run(done => ({ direction: 'Down', names: done.slice(-1) }))
  }

  override migrateTo(target: string | typeof NO_MIGRATIONS): Promise<MigrationResultSet> {
    return this.#run((done, pending) => {
      if (target === NO_MIGRATIONS) return { direction: 'Down', names: done.toReversed() }
      const at = done.indexOf(String(target))
      if (at !== -1) return { direction: 'Down', names: done.slice(at + 1).toReversed() }
      const until = pending.indexOf(String(target))
      if (until === -1) throw new Error(`There is no migration "${String(target)}".`)
      return { direction: 'Up', names: pending.slice(0, until + 1) }
    })
  }

  async #run(
    plan: (done: string[], pending: string[]) => { direction: 'Up' | 'Down'; names: string[] },
  ): Promise<MigrationResultSet> {
    const results: MigrationResult[] = []
    const migrations = migrationsFor(this.#role)
    try {
      await this.#db.transaction().execute(async trx => {
        await requireServer(trx)
        await lockMigrations(trx)
        await sql`
          create table if not exists ${sql.table(table)} (
            name varchar(255) primary key, timestamp varchar(255) not null
          )`.execute(trx)
        const done = await executedMigrations(trx)
        const { direction, names } = plan(
          done,
          Object.keys(migrations).filter(name => !done.includes(name)),
        )
        for (const migrationName of names) {
          const entry = { migrationName, direction }
          results.push({ ...entry, status: 'Error' })
          const migration = migrations[migrationName]
          if (migration === undefined)
            throw new Error(`"${migrationName}" is from a newer version of trpc-bearer.`)
          if (direction === 'Up') {
            await migration.up(trx)
            await trx
              .insertInto(table)
              .values({ name: migrationName, timestamp: new Date().toISOString() })
              .execute()
          } else {
            await migration.down?.(trx)
            await trx.deleteFrom(table).where('name', '=', migrationName).execute()
          }
          results[results.length - 1] = { ...entry, status: 'Success' }
        }
      })
      return { results }
    } catch (error) {
      return { error, results }
    }
  }
}

async function requireServer(db: AnyKysely): Promise<void> {
  const { rows } = await sql<{ version: string; encoding: string }>`
    select current_setting('server_version') as version, current_setting('server_encoding') as encoding`.execute(
    db,
  )
  const { version = '', encoding = '' } = rows[0] ?? {}
  if (Number.parseInt(version, 10) < 15)
    throw new Error(`PostgreSQL 15 or later is needed, this is ${version}.`)
  if (encoding !== 'UTF8') throw new Error(`The database must be in UTF8, this one is in ${encoding}.`)
}

/** The migrator that `migrateToLatest` and the `kysely` command use. */
export function createMigrator(db: AnyKysely, role = defaultRole): Migrator {
  return new TransactionalMigrator(db, role)
}

/**
 * Brings the package's own tables to the latest schema. Safe when many processes start at once, directly and through
 * PgBouncer in transaction mode: all of it is one transaction. Recorded in `trpc_bearer_migration`, so that your own Kysely
 * migrations stand beside it untouched.
 *
 * @param db the unscoped handle, logged in as someone who may create tables and roles
 * @param options.role name of the application role. @default 'app_user'
 * @returns the names of the migrations that ran now
 * @throws what PostgreSQL said; nothing has changed then
 */
export async function migrateToLatest(db: AnyKysely, { role = defaultRole } = {}): Promise<string[]> {
  const { error, results = [] } = await createMigrator(db, role).migrateToLatest()
  if (error !== undefined) throw error
  return results.map(result => result.migrationName)
}

/** Names of the package's migrations that this database does not have yet. Any login may ask. */
export async function pendingMigrations(db: AnyKysely): Promise<string[]> {
  const all = Object.keys(migrationsFor(defaultRole))
  const { rows } = await sql<{ there: boolean }>`
    select to_regprocedure('trpc_bearer.migrations()') is not null as there`.execute(db)
  if (!rows[0]?.there) return all
  const done = await sql<{ name: string }>`select trpc_bearer.migrations() as name`.execute(db)
  return all.filter(name => !done.rows.some(row => row.name === name))
}

async function executedMigrations(db: AnyKysely): Promise<string[]> {
  const rows = await db.selectFrom(table).select('name').orderBy('name').execute()
  return rows.map(row => String(row.name))
}
