import { protectedProcedure, publicProcedure, router } from '../trpc/procedures.js'
import { tasksRouter } from './tasks.js'

/** What `npm start` serves. */
export const appRouter = router({
  /** Answers with any token and with none. */
  health: publicProcedure.query(() => ({ ok: true })),
  /** The caller. */
  me: protectedProcedure.query(({ ctx }) => ctx.user),
  tasks: tasksRouter,
})

export type AppRouter = typeof appRouter
