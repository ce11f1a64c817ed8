import { sql } from 'kysely'
import { defaultRole, rolePattern } from '../application-role.js'
import type { AnyKysely } from '../schema.js'
import * as isolation from './0001_isolation.js'
import * as tasks from './0002_tasks.js'
import { createMigrationTable, lockMigrations, migrationTable } from './migration-table.js'

/** Migrations by their names, in the form that Kysely's Migrator takes. */
export type Migrations = Record<
  string,
  { up(db: AnyKysely): Promise<void>; down(db: AnyKysely): Promise<void> }
>

/** What ran, in the form that Kysely's Migrator answers. */
interface MigrationResults {
  error?: unknown
  results: { migrationName: string; direction: 'Up'; status: 'Success' | 'Error' }[]
}

/** The migrations of the example's table. */
export const taskMigrations: Migrations = { '0002_tasks': { up: tasks.up, down: tasks.down } }

/** The migrations of the isolation, for an application role. */
export function isolationFor(role: string): Migrations {
  if (!rolePattern.test(role)) {
    throw new TypeError(
      `The application role must be a lower-case PostgreSQL name such as app_user, not ${JSON.stringify(role)}.`,
    )
  }
  return { '0001_isolation': { up: db => isolation.up(db, role), down: isolation.down } }
}

/**
 * Creates or updates what keeps users apart: the application role and the schema `trpc_bearer`. It does not touch your tables, and
 * its record is separate from that of your migrations.
 *
 * It runs in one transaction. Many processes may call it at once, also through PgBouncer.
 *
 * @param db the unscoped handle of a login that may create schemas and roles
 * @param options.role name of the application role. @default 'app_user'
 * @returns the names of the migrations that ran now
 * @throws the error of PostgreSQL; nothing has changed then
 */
export async function migrateToLatest(db: AnyKysely, { role = defaultRole } = {}): Promise<string[]> {
  return namesOf(await runPending(db, isolationFor(role), isolation.restoreAccess))
}

/**
 * Creates or updates the example's table `tasks`, which `tasksRouter` uses. Run {@link migrateToLatest} first.
 *
 * @returns the names of the migrations that ran now
 * @throws TasksTableError if the database has another table `tasks`
 * @throws Error if `migrateToLatest` has not run
 */
export async function migrateTasks(db: AnyKysely): Promise<string[]> {
  return namesOf(await runPending(db, taskMigrations))
}

function namesOf({ error, results }: MigrationResults): string[] {
  if (error !== undefined) throw error
  return results.map(result => result.migrationName)
}

/** Runs those that the record lacks, all in one transaction. Instead of throwing it returns the error. */
export async function runPending(
  db: AnyKysely,
  all: Migrations,
  finish: (trx: AnyKysely) => Promise<void> = async () => {},
): Promise<MigrationResults> {
  const results: MigrationResults['results'] = []
  try {
    await db.transaction().execute(async transaction => {
      // A plugin of the application, such as withSchema, is not for our tables.
      const trx = transaction.withoutPlugins()
      await requireSupportedServer(trx)
      await lockMigrations(trx)
      await createMigrationTable(trx)
      const rows = await trx.selectFrom(migrationTable).select('name').execute()
      for (const [migrationName, migration] of Object.entries(all)) {
        if (rows.some(({ name }) => name === migrationName)) continue
        const result: MigrationResults['results'][number] = {
          migrationName,
          direction: 'Up',
          status: 'Error',
        }
        results.push(result)
        await migration.up(trx)
        const timestamp = new Date().toISOString()
        await trx.insertInto(migrationTable).values({ name: migrationName, timestamp }).execute()
        result.status = 'Success'
      }
      await finish(trx)
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
 * Names of the package's migrations that have not run on this database. Needs no rights of the login.
 *
 * @param options.tasks whether the example's tasks count
 */
export async function pendingMigrations(db: AnyKysely, { tasks = false } = {}): Promise<string[]> {
  const all = Object.keys({ ...isolationFor(defaultRole), ...(tasks && taskMigrations) })
  const { rows } = await sql<{ exists: boolean }>`
    select to_regprocedure('trpc_bearer.migrations()') is not null as exists`.execute(db)
  if (!rows[0]?.exists) return all
  const done = await sql<{ name: string }>`select trpc_bearer.migrations() as name`.execute(db)
  return all.filter(name => !done.rows.some(row => row.name === name))
}
