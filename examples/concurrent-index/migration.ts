import { type Kysely, sql } from 'kysely'
import type { Database } from 'trpc-bearer/db'

/**
 * The migration that follows the script: done already where the script ran, and all that a new database needs.
 *
 * It looks first: `create index if not exists` alone waits for every writer, and holds up the ones after it, before it looks.
 */
export async function up(db: Kysely<Database>) {
  await sql`
    do $$ begin
      if not exists (select from pg_index where indexrelid = to_regclass('tasks_by_due') and indisvalid) then
        create index tasks_by_due on tasks (user_id, due_at, id);
      end if;
    end $$`.execute(db)
}
