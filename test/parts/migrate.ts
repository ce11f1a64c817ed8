import { type Kysely, sql } from 'kysely'
import { type Database, migrateTasks, migrateToLatest } from '../../db/index.js'
import type { AnyKysely } from '../../db/schema.js'

/** What `npx trpc-bearer migrate` does: the isolation, then the table of tasks. */
export async function migrateAll(db: Kysely<Database>, options: { role?: string } = {}): Promise<string[]> {
  return [...(await migrateToLatest(db, options)), ...(await migrateTasks(db))]
}

/** Which of the objects that the migrations create exist. */
export async function findObjects(db: AnyKysely) {
  const { rows } = await sql`
    select to_regclass('tasks') is not null as tasks, to_regprocedure('trpc_bearer.user_id()') is not null as isolation,
      to_regclass('trpc_bearer.migration') is not null as migrations`.execute(db)
  return rows[0]
}
