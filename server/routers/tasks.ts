import { TRPCError } from '@trpc/server'
import { type Kysely, type Selectable, sql } from 'kysely'
import { z } from 'zod'
import { DatabaseUnavailableError } from '../../db/errors.js'
import type { Database } from '../../db/schema.js'
import { type Task, taskCreateInput, taskIdInput, taskListInput, taskUpdateInput } from '../../shared/task.js'
import { VersionConflict } from '../trpc/errors.js'
import { protectedProcedure, router } from '../trpc/procedures.js'
import { decodeCursor, encodeCursor } from './task-cursor.js'
import type { TasksTable } from './tasks-table.js'

const listInput = taskListInput.transform((input, issues) => {
  const after = typeof input.cursor === 'string' ? decodeCursor(input.cursor) : null
  if (after !== undefined) return { ...input, after }
  issues.addIssue({
    code: 'custom',
    path: ['cursor'],
    message: 'Not a cursor of this list. Start without a cursor.',
  })
  return z.NEVER
})

/** The application's tables have no tasks unless it adds them: the type is the router's own. */
const tasksOf = ({ db }: { db: Kysely<Database> }) => db.withTables<{ tasks: TasksTable }>()

/**
 * Says what to run if the example's table is missing: an outage, because the call succeeds after the migration. No middleware, because each
 * costs every call more than the verification of a known token.
 */
const withTable =
  <Options, Output>(resolve: (options: Options) => Promise<Output>) =>
  async (options: Options): Promise<Output> => {
    try {
      return await resolve(options)
    } catch (error) {
      if (!isTableMissing(error)) throw error
      const message =
        'The table tasks is missing. Run npx trpc-bearer migrate, or call migrateTasks(database.admin) in your own server.'
      throw new DatabaseUnavailableError({ cause: new Error(message, { cause: error }) })
    }
  }

/** The message must quote the name, because a trigger may miss another table. */
const isTableMissing = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === '42P01' && /\Wtasks\W/.test(error.message)

/** The tasks of the caller. Queries name `user_id` for the index and for sharding; the policy isolates without it too. */
export const tasksRouter = router({
  /** A page of tasks, newest first. */
  list: protectedProcedure.input(listInput).query(
    withTable(async ({ ctx, input }) => {
      const { limit, after, status, search } = input
      let query = tasksOf(ctx).selectFrom('tasks').selectAll().where('user_id', '=', ctx.user.id)
      if (status !== 'all') query = query.where('completed', '=', status === 'done')
      if (after) {
        const { createdAt, id } = after
        // The subselect hides the time from the planner: a wrong guess of how few tasks are left would read and sort them all.
        query = query.where(
          sql<boolean>`(created_at, id) < ((select ${createdAt.toISOString()}::timestamptz), ${id}::uuid)`,
        )
      }
      if (search) {
        // Not ilike and not > 0: the planner expects few matches for those, and would read and sort all tasks of the caller.
        const contains = (column: 'title' | 'notes') =>
          sql<boolean>`strpos(lower(${sql.ref(column)}), lower(${search})) <> 0`
        query = query.where(match => match.or([contains('title'), contains('notes')]))
      }
      const rows = await query
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .limit(limit + 1)
        .execute()
      const items = rows.slice(0, limit).map(toTask)
      const last = items.at(-1)
      return { items, nextCursor: rows.length > limit && last ? encodeCursor(last) : null }
    }),
  ),

  /** One task. */
  get: protectedProcedure.input(taskIdInput).query(
    withTable(async ({ ctx, input }) => {
      const row = await tasksOf(ctx)
        .selectFrom('tasks')
        .selectAll()
        .where('user_id', '=', ctx.user.id)
        .where('id', '=', input.id)
        .executeTakeFirst()
      if (row === undefined) throw notFound()
      return toTask(row)
    }),
  ),

  /** Creates a task. With an `id` from the client it can be repeated: it returns the caller's task with that id unchanged. */
  create: protectedProcedure.input(taskCreateInput).mutation(
    withTable(async ({ ctx, input }) => {
      const { id = uuidv7(), title, notes, dueAt } = input
      const row = await tasksOf(ctx)
        .insertInto('tasks')
        .values({ user_id: ctx.user.id, id, title, notes, due_at: dueAt?.toISOString() })
        // An update that changes nothing, because `do nothing` returns no row and a second select misses a concurrent insert.
        .onConflict(conflict =>
          conflict.columns(['user_id', 'id']).doUpdateSet(row => ({ version: row.ref('tasks.version') })),
        )
        .returningAll()
        .executeTakeFirstOrThrow()
      return toTask(row)
    }),
  ),

  /** Updates a task. If `version` is given and is not the current one: CONFLICT with the current task. */
  update: protectedProcedure.input(taskUpdateInput).mutation(
    withTable(async ({ ctx, input }) => {
      const { id, version, title, notes, completed, dueAt } = input
      const own = tasksOf(ctx).updateTable('tasks').where('user_id', '=', ctx.user.id).where('id', '=', id)
      const row = await own
        .$if(version !== undefined, update => update.where('version', '=', version ?? 0))
        .set(column => ({
          title,
          notes,
          completed,
          due_at: dueAt === undefined ? undefined : (dueAt?.toISOString() ?? null),
          updated_at: sql<string>`now()`,
          version: column('version', '+', 1),
        }))
        .returningAll()
        .executeTakeFirst()
      if (row !== undefined) return toTask(row)
      const current = await tasksOf(ctx)
        .selectFrom('tasks')
        .selectAll()
        .where('user_id', '=', ctx.user.id)
        .where('id', '=', id)
        .executeTakeFirst()
      if (current === undefined) throw notFound()
      const cause = new VersionConflict(toTask(current))
      throw new TRPCError({ code: 'CONFLICT', message: cause.message, cause })
    }),
  ),

  /** Deletes a task. */
  delete: protectedProcedure.input(taskIdInput).mutation(
    withTable(async ({ ctx, input }) => {
      const { numDeletedRows } = await tasksOf(ctx)
        .deleteFrom('tasks')
        .where('user_id', '=', ctx.user.id)
        .where('id', '=', input.id)
        .executeTakeFirst()
      if (numDeletedRows === 0n) throw notFound()
      return { id: input.id }
    }),
  ),

  /** Deletes the caller's completed tasks. */
  clearCompleted: protectedProcedure.mutation(
    withTable(async ({ ctx }) => {
      const { numDeletedRows } = await tasksOf(ctx)
        .deleteFrom('tasks')
        .where('user_id', '=', ctx.user.id)
        .where('completed', '=', true)
        .executeTakeFirst()
      return { count: Number(numDeletedRows) }
    }),
  ),
})

/** A UUID of version 7 (RFC 9562 section 5.7): the milliseconds since 1970, then random bits. */
function uuidv7(): string {
  const time = Date.now().toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`
}

/** The same error for another user's task and for a missing one. */
const notFound = () => new TRPCError({ code: 'NOT_FOUND', message: 'There is no task with this id.' })

function toTask(row: Selectable<TasksTable>): Task {
  return {
    id: row.id,
    title: row.title,
    notes: row.notes,
    completed: row.completed,
    dueAt: row.due_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    version: row.version,
  }
}
