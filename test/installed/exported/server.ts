import * as server from 'trpc-bearer/server'

export { server }

const verifier = server.createVerifier({ issuer: 'https://auth.example.com', audience: 'api' })
declare const database: server.OpenDatabase
export const createContext = server.createContextFactory({ verifier })
export const createDatabaseContext = server.createContextFactory({ verifier, database })
export const own = server.protectedProcedure.query(({ ctx }) => ctx.user)
export const scoped = server.protectedProcedure.concat(server.requireScope('tasks:write'))
export const guarded = server.publicProcedure.concat(server.requireUser({ database }))
export const procedure = server.protectedProcedure.use(({ ctx, next }) =>
  next({ ctx: { db: ctx.db, tenant: 1 } }),
)
export const appRouter = server.router({
  tasks: server.tasksRouter,
  own,
  health: server.publicProcedure.query(() => 'ok'),
})
export const merged = server.mergeRouters(appRouter, server.router({ more: own }))
export const createCaller = server.createCallerFactory(appRouter)
export const caller = createCaller({ user: { id: 'alice' } })
export const nodeHandler = server.createNodeHandler({ verifier, database, router: appRouter })
export const fetchHandler = server.createFetchHandler({ verifier, database, router: appRouter })
export const config = server.readConfig({})
export const started = server.startServer(config)
export const responseMeta = server.responseMeta
export const reason = server.reasonOf(null)
