import { type Kysely, sql } from 'kysely'
import type { Database } from 'trpc-bearer/db'

/**
 * The migration after the script: it does nothing if the script ran, and creates the index in a new database.
 *
 * It checks first, because `create index if not exists` waits for all writers (and blocks new ones) before it checks.
 */
export async function up(db: Kysely<Database>) {
  await sql`
    do $$ begin
      if not exists (select from pg_index where indexrelid = to_regclass('tasks_by_due') and indisvalid) then
        create index tasks_by_due on tasks (user_id, due_at, id);
      end if;
    end $$`.execute(db)
}
