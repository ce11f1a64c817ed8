import { sql } from 'kysely'
import type { AnyKysely } from '../schema.js'

/** The table that records the package's own migrations. */
export const migrationTable = 'trpc_bearer_migration'

const migrationLock = 7_241_386_019_245_831n

/** Waits until no other process migrates this database, and holds the lock until the transaction ends. */
export async function lockMigrations(trx: AnyKysely): Promise<void> {
  await sql`select pg_advisory_xact_lock(${sql.lit(migrationLock)})`.execute(trx)
}
