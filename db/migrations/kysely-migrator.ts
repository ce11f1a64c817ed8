import { type MigrationResultSet, Migrator } from 'kysely/migration'
import { defaultRole } from '../application-role.js'
import type { AnyKysely } from '../schema.js'
import { restoreAccess } from './0001_isolation.js'
import { hasTasks } from './0002_tasks.js'
import { isolationFor, type Migrations, pendingMigrations, runPending, taskMigrations } from './migrator.js'

/**
 * Kysely takes a session-level lock, which PgBouncer in transaction mode leaves behind, and creates its tables outside the
 * transaction. `latest`, which deployments run, avoids both; the other commands are Kysely's own.
 */
class PackageMigrator extends Migrator {
  readonly #db: AnyKysely
  readonly #migrations: Migrations

  constructor(db: AnyKysely, role: string) {
    const all = { ...isolationFor(role), ...taskMigrations }
    super({
      db,
      provider: { getMigrations: async () => all },
      migrationTableSchema: 'trpc_bearer',
      migrationTableName: 'migration',
      migrationLockTableName: 'migration_lock',
    })
    this.#db = db
    this.#migrations = all
  }

  override async migrateToLatest(): Promise<MigrationResultSet> {
    const pending = await pendingMigrations(this.#db, { tasks: true })
    const isTaken = pending.includes('0002_tasks') && (await hasTasks(this.#db))
    const all = Object.entries(this.#migrations).filter(([name]) => !(isTaken && name in taskMigrations))
    return runPending(this.#db, Object.fromEntries(all), restoreAccess)
  }
}

/** Creates the migrator of the `kysely` command (kysely.config.ts). Its `migrateToLatest` runs the isolation and the example's tasks. */
export function createMigrator(db: AnyKysely, role = defaultRole): Migrator {
  return new PackageMigrator(db, role)
}
