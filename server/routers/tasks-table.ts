import type { ColumnType, Generated, GeneratedAlways } from 'kysely'

/**
 * A row of the table of tasks. `user_id` defaults to the caller. Write times as ISO 8601 text in UTC, not as a `Date`: pg writes a
 * `Date` in the local time zone, which is wrong for very old dates.
 */
export interface TasksTable {
  user_id: Generated<string>
  id: string
  title: string
  notes: Generated<string>
  completed: Generated<boolean>
  due_at: ColumnType<Date | null, string | null | undefined, string | null>
  created_at: GeneratedAlways<Date>
  updated_at: ColumnType<Date, never, string>
  version: Generated<number>
}
