import { sql } from 'drizzle-orm'
import { pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { protectedProcedure, router } from 'trpc-bearer/server'
import { z } from 'zod'
import type { AsUser } from './as-user.js'

/** A table that was given to `protectTable`, which has set the default of `user_id`. */
export const notes = pgTable(
  'notes',
  {
    userId: text('user_id').notNull().default(sql`trpc_bearer.user_id()`),
    id: uuid().notNull().defaultRandom(),
    body: text().notNull(),
  },
  table => [primaryKey({ columns: [table.userId, table.id] })],
)

const { id, body } = notes

export const createNotesRouter = (asUser: AsUser) =>
  router({
    add: protectedProcedure
      .input(z.object({ body: z.string().min(1) }))
      .mutation(({ ctx, input }) =>
        asUser(ctx.user, tx => tx.insert(notes).values(input).returning({ id, body })),
      ),
    list: protectedProcedure.query(({ ctx }) => asUser(ctx.user, tx => tx.select({ id, body }).from(notes))),
  })
