import { protectedProcedure, publicProcedure, router } from '../trpc/procedures.js'
import { tasksRouter } from './tasks.js'

/** The router that `npm start` serves. */
export const appRouter = router({
  /** Needs no token. */
  health: publicProcedure.query(() => ({ ok: true })),
  /** The caller. */
  me: protectedProcedure.query(({ ctx }) => ctx.user),
  tasks: tasksRouter,
})
