import { type Kysely, sql } from 'kysely'
import type { Database } from '../../db/index.js'

/** How many tasks each user has. */
export interface Size {
  /** Tasks of `user-0`, `user-1` and so on, the same number each. */
  tasks: number
  users: number
  /** Tasks of the user `many`. */
  many: number
  /** Tasks of the user `importer`: all open, and older than those of the others. */
  imported: number
}

/**
 * Fills the table like a year of use, with the rows of all users mixed. The status is skewed: the oldest 1% of the tasks of
 * `many` are open, of the others the oldest 1% are done.
 */
export async function fillTasks(db: Kysely<Database>, { tasks, users, many, imported }: Size): Promise<void> {
  await sql`
    insert into tasks (user_id, id, title, notes, completed, created_at)
    select user_id, gen_random_uuid(), 'Task ' || number, repeat('Notes of it. ', number % 20), is_old <> (user_id = 'many'),
      now() - age * interval '365 days'
    from (
      select 'user-' || number % ${users}::int, number, number::float / ${tasks}::int, number >= 0.99 * ${tasks}::int
      from generate_series(0, ${tasks}::int - 1) number
      union all
      select 'many', number, number::float / ${many}::int, number >= 0.99 * ${many}::int
      from generate_series(0, ${many}::int - 1) number
      union all
      select 'importer', number, 2 + number::float / ${imported}::int, false
      from generate_series(0, ${imported}::int - 1) number
    ) task (user_id, number, age, is_old)
    order by age desc`.execute(db)
  await sql`vacuum analyze tasks`.execute(db)
}
