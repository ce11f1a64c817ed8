import { router, tasksRouter } from 'trpc-bearer/server'

export const appRouter = router({ tasks: tasksRouter })
