import { createServer } from 'node:http'
import { type Generated, sql } from 'kysely'
import { migrateToLatest, openDatabase, protectTable } from 'trpc-bearer/db'
import { createNodeHandler, createVerifier, protectedProcedure, router } from 'trpc-bearer/server'
import { z } from 'zod'

declare module 'trpc-bearer/db' {
  interface Database {
    books: { user_id: Generated<string>; title: string }
  }
}

const database = await openDatabase({ url: process.env.DATABASE_URL, dataDir: '.data/books' })
await migrateToLatest(database.admin)
await sql`create table if not exists books (user_id text, title text not null)`.execute(database.admin)
await protectTable(database.admin, 'books')

export const booksRouter = router({
  add: protectedProcedure
    .input(z.object({ title: z.string().min(1).max(200) }))
    .mutation(({ ctx, input }) => ctx.db.insertInto('books').values(input).returningAll().execute()),
  list: protectedProcedure.query(({ ctx }) => ctx.db.selectFrom('books').select('title').execute()),
})

const issuer = process.env.BETTER_AUTH_URL ?? 'http://localhost:4000' // the Better Auth of npm start
const verifier = createVerifier({ issuer, audience: issuer })
export const server = createServer(createNodeHandler({ verifier, database, router: booksRouter }))
const port = Number(process.env.PORT ?? 3000)
server.listen(port, '127.0.0.1', () => console.log(`The books are at http://127.0.0.1:${port}/trpc.`))
