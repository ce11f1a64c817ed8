import { type Kysely, sql } from 'kysely'
import type { Database } from '../../db/index.js'

/** How many tasks there are, and whose. */
export interface Size {
  /** Of all users but one, who share them evenly: `user-0`, `user-1` and so on. */
  tasks: number
  users: number
  /** Of the user `many`. */
  many: number
  /** Of the user `importer`, who brought theirs along: all older than those of the others, and open. */
  imported: number
}

/**
 * Fills the tasks as a year of use would, everybody's between those of the others. The status is skewed, and the other way for
 * `many` than for the rest: of their tasks the oldest hundredth is open, of all others the oldest hundredth is done.
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
