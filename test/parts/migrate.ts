import type { Kysely } from 'kysely'
import { type Database, migrateTasks, migrateToLatest } from '../../db/index.js'

/** What `npx trpc-bearer migrate` does: the isolation, then the table of tasks. */
export async function migrateAll(db: Kysely<Database>, options: { role?: string } = {}): Promise<string[]> {
  return [...(await migrateToLatest(db, options)), ...(await migrateTasks(db))]
}
