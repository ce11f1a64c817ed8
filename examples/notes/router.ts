import type { Generated, Kysely } from 'kysely'
import { type Database, protectTable } from 'trpc-bearer/db'
import { protectedProcedure, router, tasksRouter } from 'trpc-bearer/server'
import { z } from 'zod'

declare module 'trpc-bearer/db' {
  interface Database {
    notes: { user_id: Generated<string>; id: Generated<string>; body: string }
  }
}

/** Your migration: your table, with the same policy as the tasks. */
export async function up(db: Kysely<Database>) {
  await db.schema
    .createTable('notes')
    .addColumn('user_id', 'text', column => column.notNull())
    .addColumn('id', 'uuid', column => column.notNull().defaultTo(db.fn('gen_random_uuid')))
    .addColumn('body', 'text', column => column.notNull())
    .addPrimaryKeyConstraint('notes_pkey', ['user_id', 'id'])
    .execute()
  await protectTable(db, 'notes')
}

/** Your procedures need no WHERE and no user id: the database shows each caller only their own rows. */
const notesRouter = router({
  add: protectedProcedure
    .input(z.object({ body: z.string().min(1).max(1000) }))
    .mutation(({ ctx, input }) =>
      ctx.db.insertInto('notes').values(input).returningAll().executeTakeFirstOrThrow(),
    ),
  list: protectedProcedure.query(({ ctx }) => ctx.db.selectFrom('notes').select(['id', 'body']).execute()),
})

export const notesAppRouter = router({ tasks: tasksRouter, notes: notesRouter })
export type NotesAppRouter = typeof notesAppRouter
