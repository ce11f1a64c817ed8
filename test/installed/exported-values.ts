// The inferred type of everything that the package exports, as a project with `declaration: true` writes it down.
import { initTRPC } from '@trpc/server'
import {
  type BearerAuth,
  bearerAuth,
  betterAuthToken,
  createClient,
  isApiError,
  UserChangedError,
} from 'trpc-bearer/client'
import * as database from 'trpc-bearer/db'
import * as server from 'trpc-bearer/server'
import * as shared from 'trpc-bearer/shared'
import * as verifiers from 'trpc-bearer/verifier'

export { bearerAuth, database, server, shared, UserChangedError, verifiers }
export const verifier = verifiers.createVerifier({ issuer: 'https://auth.example.com', audience: 'api' })
export const verified = verifier.verify('')
export const status = verifier.status()
export const token = verifiers.bearerToken({ headers: {} })
export const checkScope = verifiers.checkScope
export const opened = database.openDatabase({ url: 'postgres://localhost:1/nothing' })
export const admin = opened.then(open => open.admin)
export const handle = opened.then(open => open.forUser('alice'))
export const report = opened.then(open => open.fence())
export const statement = opened.then(open => open.identityStatement('alice'))
export const protect = database.protectTable
export const createContext = server.createContextFactory({ verifier })
export const createDatabaseContext = opened.then(open =>
  server.createContextFactory({ verifier, database: open }),
)
export const own = server.protectedProcedure.query(({ ctx }) => ctx.user)
export const scoped = server.protectedProcedure.concat(server.requireScope('tasks:write'))
export const appRouter = server.router({
  tasks: server.tasksRouter,
  own,
  health: server.publicProcedure.query(() => 'ok'),
})
export const merged = server.mergeRouters(appRouter, server.router({ more: own }))
export const createCaller = server.createCallerFactory(appRouter)
export const caller = createCaller({ user: null } as never)
export const nodeHandler = opened.then(open =>
  server.createNodeHandler({ verifier, database: open, router: appRouter }),
)
export const fetchHandler = opened.then(open =>
  server.createFetchHandler({ verifier, database: open, router: appRouter }),
)
export const config = server.readConfig({})
export const started = server.startServer(config)
export const responseMeta = server.responseMeta
export const reason = server.reasonOf(null)
const t = initTRPC
  .context<{ user: shared.User | null; tenant: string }>()
  .create({ transformer: shared.transformer })
export const guard = server.requireUser()
export const guardWithDatabase = opened.then(open => server.requireUser({ database: open }))
export const guarded = t.procedure.concat(server.requireUser())
export const foreignRouter = t.router({ me: guarded.query(({ ctx }) => ctx) })
export const api = createClient<typeof appRouter>({ url: 'http://localhost/trpc', getToken: () => null })
export const foreignApi = createClient<typeof foreignRouter>({
  url: 'http://localhost/trpc',
  getToken: () => null,
})
export const auth: BearerAuth = bearerAuth({ getToken: () => null })
export const inferredAuth = bearerAuth({ getToken: () => null })
export const getToken = betterAuthToken({ token: async () => ({ data: null, error: null }) })
export const isOurs = (error: unknown) => isApiError<typeof appRouter>(error) && error.data
export const tasks = () => api.tasks.list.query()
export type Outputs = shared.RouterOutputs
