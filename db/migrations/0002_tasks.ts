import { sql } from 'kysely'
import type { AnyKysely } from '../schema.js'
import { protectTable } from '../tables/protect.js'

/** The database has a table `tasks` of the application. */
export class TasksTableError extends Error {
  override name = 'TasksTableError'

  constructor() {
    super(
      'The database has another table tasks, so the table of the example was not created. Only the example needs it: npx trpc-bearer start and tasksRouter. Your own server does not need it.',
    )
  }
}

/** True if there is a table tasks. Before the migration it is one of the application. */
export async function hasTasks(db: AnyKysely): Promise<boolean> {
  const { rows } = await sql<{ exists: boolean }>`select to_regclass('tasks') is not null as exists`.execute(
    db,
  )
  return rows[0]?.exists ?? false
}

/** Creates the example's table of tasks. */
export async function up(db: AnyKysely): Promise<void> {
  if (await hasTasks(db)) throw new TasksTableError()
  await db.schema
    .createTable('tasks')
    .addColumn('user_id', 'text', column => column.notNull())
    .addColumn('id', 'uuid', column => column.notNull())
    .addColumn('title', 'text', column => column.notNull().check(sql`char_length(title) between 1 and 500`))
    .addColumn('notes', 'text', column =>
      column.notNull().defaultTo('').check(sql`char_length(notes) <= 10000`),
    )
    .addColumn('completed', 'boolean', column => column.notNull().defaultTo(false))
    .addColumn('due_at', sql`timestamptz(3)`)
    .addColumn('created_at', sql`timestamptz(3)`, column => column.notNull().defaultTo(sql`now()`))
    .addColumn('updated_at', sql`timestamptz(3)`, column => column.notNull().defaultTo(sql`now()`))
    .addColumn('version', 'integer', column => column.notNull().defaultTo(1))
    .addPrimaryKeyConstraint('tasks_pkey', ['user_id', 'id'])
    .execute()
  await db.schema.createIndex('tasks_by_time').on('tasks').columns(['user_id', 'created_at', 'id']).execute()
  await db.schema
    .createIndex('tasks_by_status')
    .on('tasks')
    .columns(['user_id', 'completed', 'created_at', 'id'])
    .execute()
  await protectTable(db, 'tasks')
}

/** Drops the tasks. */
export async function down(db: AnyKysely): Promise<void> {
  await db.schema.dropTable('tasks').execute()
}
