import { type Generated, type Kysely, sql } from 'kysely'
import { type Database, protectTable } from 'trpc-bearer/db'
import { protectedProcedure, router } from 'trpc-bearer/server'
import { z } from 'zod'

declare module 'trpc-bearer/db' {
  interface Database {
    bookmarks: { user_id: Generated<string>; url: string }
  }
}

/** The migration: create the table, then protect it. */
export async function up(db: Kysely<Database>) {
  await sql`create table bookmarks (user_id text, url text, primary key (user_id, url))`.execute(db)
  await protectTable(db, 'bookmarks')
}

const input = z.object({ url: z.url() })
export const bookmarksRouter = router({
  add: protectedProcedure.input(input).mutation(({ ctx, input }) => {
    const insert = ctx.db.insertInto('bookmarks').values(input).returning('url')
    return insert.onConflict(c => c.columns(['user_id', 'url']).doUpdateSet(input)).executeTakeFirstOrThrow()
  }),
  list: protectedProcedure.query(({ ctx }) => ctx.db.selectFrom('bookmarks').select('url').execute()),
})
