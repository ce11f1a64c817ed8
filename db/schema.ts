import type { ColumnType, Generated, GeneratedAlways, Kysely } from 'kysely'

/**
 * A task row. `user_id` defaults to the caller, so that nothing need name it on insert. Times are written as ISO 8601 text in
 * UTC, never as a `Date`: pg writes those in the local time of the process, off by seconds in 1850 and by an era in year 1.
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

/**
 * The tables, as Kysely knows them. Add your own by declaration merging:
 *
 * @example
 * declare module 'trpc-bearer/db' {
 *   interface Database { notes: NotesTable }
 * }
 */
export interface Database {
  tasks: TasksTable
}

/** A handle whatever tables it knows: what a migration is given (Kysely's `Migration` says the same). */
// biome-ignore lint/suspicious/noExplicitAny: no type but any takes a handle of any tables
export type AnyKysely = Kysely<any>
