import { sql } from 'kysely'
import { appRouter } from '../routers/app.js'
import { mergeRouters, protectedProcedure, router } from '../trpc/procedures.js'

/** What the page at `/` calls: the API, and who the caller is for the database. */
export const pageRouter = mergeRouters(
  appRouter,
  router({
    identity: protectedProcedure.query(async ({ ctx }) => {
      const { rows } = await sql<{ role: string; userId: string }>`
        select current_user as role, trpc_bearer.user_id() as "userId"`.execute(ctx.db)
      return rows[0] ?? null
    }),
  }),
)

/** The type of {@link pageRouter}, for the page. */
export type PageRouter = typeof pageRouter
