import { initTRPC } from '@trpc/server'
import { createContextFactory, createVerifier, reasonOf, requireScope, requireUser } from 'trpc-bearer/server'

const verifier = createVerifier({ issuer: 'https://auth.example.com', audience: 'api' })
const bearer = createContextFactory({ verifier })
export const createContext = async (options: Parameters<typeof bearer>[0]) => ({
  ...(await bearer(options)),
  locale: 'en',
})
const t = initTRPC.context<typeof createContext>().create({
  errorFormatter: ({ shape, error }) => ({ ...shape, data: { ...shape.data, reason: reasonOf(error) } }),
})
export const guard = requireUser()
export const guarded = t.procedure.concat(requireUser())
export const scoped = t.procedure.concat(requireScope('tasks:write'))
export const appRouter = t.router({ me: guarded.query(({ ctx }) => ctx), scoped: scoped.query(() => 'ok') })
export const caller = t.createCallerFactory(appRouter)({ user: { id: 'alice' }, locale: 'en' })
