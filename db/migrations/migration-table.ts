import { sql } from 'kysely'
import type { AnyKysely } from '../schema.js'

/** The table that records the package's own migrations. */
export const migrationTable = 'trpc_bearer.migration'

const migrationLock = 7_241_386_019_245_831n

/** Waits until no other process migrates this database, and holds the lock until the transaction ends. */
export async function lockMigrations(trx: AnyKysely): Promise<void> {
  await sql`select pg_advisory_xact_lock(${sql.lit(migrationLock)})`.execute(trx)
}

/** Creates the record, and takes over the one of an earlier version, whose only migration created the isolation and the tasks. */
export async function createMigrationTable(trx: AnyKysely): Promise<void> {
  await sql`create schema if not exists trpc_bearer`.execute(trx)
  await sql`
    create table if not exists trpc_bearer.migration (
      name varchar(255) primary key, timestamp varchar(255) not null
    )`.execute(trx)
  const { rows } = await sql<{ exists: boolean }>`
    select to_regclass('trpc_bearer_migration') is not null as exists`.execute(trx)
  if (!rows[0]?.exists) return
  await sql`
    insert into trpc_bearer.migration select '0002_tasks', timestamp from trpc_bearer_migration where name = '0001_tasks'
    on conflict do nothing`.execute(trx)
  await sql`drop table trpc_bearer_migration cascade`.execute(trx)
}
