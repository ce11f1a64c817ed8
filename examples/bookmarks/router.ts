import { type Generated, type Kysely, sql } from 'kysely'
import { type Database, protectTable } from 'trpc-bearer/db'
import { protectedProcedure, router } from 'trpc-bearer/server'

declare module 'trpc-bearer/db' {
  interface Database {
    bookmarks: { user_id: Generated<string>; url: string }
  }
}

export async function up(db: Kysely<Database>) {
  await sql`create table bookmarks (user_id text, url text)`.execute(db)
  await protectTable(db, 'bookmarks')
}

export const bookmarksRouter = router({
  list: protectedProcedure.query(({ ctx }) => ctx.db.selectFrom('bookmarks').select('url').execute()),
})
