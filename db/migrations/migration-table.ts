import { sql } from 'kysely'
import type { AnyKysely } from '../schema.js'
/** Where the package records its own migrations, beside those of the people who use it. */
export const migrationTable = 'trpc_bearer_migration'

const lock = 7_241_386_019_245_831n

/** Waits until nobody else migrates this database, and holds the others up until the transaction ends. */
export async function lockMigrations(trx: AnyKysely): Promise<void> {
  await sql`select pg_advisory_xact_lock(${sql.lit(lock)})`.execute(trx)
}
