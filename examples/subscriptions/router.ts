import { tracked } from '@trpc/server'
import { protectedProcedure, router } from 'trpc-bearer/server'
import { z } from 'zod'

/** Counts up once a second for the caller, and goes on after the last number that the client has got. */
export const liveRouter = router({
  ticks: protectedProcedure
    .input(z.object({ lastEventId: z.string().optional() }).optional())
    .subscription(async function* ({ ctx, input, signal }) {
      for (let count = Number(input?.lastEventId ?? 0) + 1; !signal?.aborted; count++) {
        yield tracked(`${count}`, { user: ctx.user.id, count })
        await new Promise(next => setTimeout(next, 1_000))
      }
    }),
})
