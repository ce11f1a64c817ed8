import { createTRPCClient, httpLink } from '@trpc/client'
import { type inferRouterError, initTRPC, type TRPCDefaultErrorShape, TRPCError } from '@trpc/server'
import { createHTTPServer } from '@trpc/server/adapters/standalone'
import { afterAll, beforeAll, expect, expectTypeOf, inject, test } from 'vitest'
import { z } from 'zod'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import {
  type Context,
  createContextFactory,
  createVerifier,
  publicProcedure,
  reasonOf,
  requireUser,
} from '../../../server/index.js'
import type { Reason, User } from '../../../shared/index.js'
import { refusalOf } from '../../parts/api-error.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'
import { startWeb } from '../../parts/listen.js'

const issuer = 'https://auth.example.com'
const key = await makeKey()
const options = { issuer, audience: issuer }

/** A foreign `t`: no transformer, its own context, meta and error formatter. */
const t = initTRPC
  .context<Context & { tenant: string }>()
  .meta<{ audited: boolean }>()
  .create({
    errorFormatter: ({ shape, error }) => ({
      ...shape,
      data: { ...shape.data, why: reasonOf(error) ?? null },
    }),
  })
const guarded = t.procedure.meta({ audited: true }).concat(requireUser())
const audited: (boolean | undefined)[] = []
const foreignRouter = t.router({
  open: t.procedure.query(({ ctx }) => ctx.user),
  greet: guarded
    .input(z.object({ greeting: z.string() }))
    .use(({ meta, next }) => {
      audited.push(meta?.audited)
      return next({ ctx: { shout: '!' } })
    })
    .query(({ ctx, input }) => `${input.greeting} ${ctx.user.id} of ${ctx.tenant}${ctx.shout}`),
  fail: guarded.mutation(() => {
    throw new TRPCError({ code: 'FORBIDDEN', message: 'Not on Sundays.' })
  }),
})

let database: OpenDatabase
beforeAll(async () => {
  // The pool connects on demand, so nothing connects here.
  database = await openDatabase({ url: inject('postgresUrl') })
})
afterAll(() => database.close())

async function serve(verifier = createVerifier({ ...options, keys: [key.jwk] })) {
  const createContext = createContextFactory({ verifier, database })
  const server = createHTTPServer({
    router: foreignRouter,
    createContext: async options => ({ ...(await createContext(options)), tenant: 'acme' }),
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  const as = (token: string | null) =>
    createTRPCClient<typeof foreignRouter>({
      links: [httpLink({ url, headers: token === null ? {} : { authorization: `Bearer ${token}` } })],
    })
  const stop = () => new Promise<void>(done => server.close(() => done()).closeAllConnections())
  return { as, [Symbol.asyncDispose]: stop }
}

test('after the guard a foreign t keeps its context, meta, input and middleware', async () => {
  await using host = await serve()
  const alice = host.as(await key.sign(claimsFrom(issuer)))
  expect(await alice.greet.query({ greeting: 'Hello' })).toBe('Hello alice of acme!')
  expect(audited).toEqual([true])
  expect(await alice.open.query()).toEqual({ id: 'alice' })
  const { data } = await refusalOf<typeof foreignRouter>(alice.fail.mutate())
  expect(data).toMatchObject({ code: 'FORBIDDEN', why: null })
})

test('a call without a valid token is refused before its input is checked', async () => {
  await using host = await serve()
  // @ts-expect-error the input is not what it should be
  const refusal = await refusalOf<typeof foreignRouter>(host.as(null).greet.query({ greeting: 1 }))
  expect(refusal.data).toMatchObject({ code: 'UNAUTHORIZED', httpStatus: 401, why: 'missing' })
  expectTypeOf(refusal.data?.why).toEqualTypeOf<Reason | null | undefined>()
  expect(await host.as('milk').open.query()).toBeNull()
})

test('an outage of the issuer is SERVICE_UNAVAILABLE on a foreign t too', async () => {
  await using web = await startWeb((_, res) => res.writeHead(503).end())
  await using host = await serve(createVerifier({ ...options, jwksUrl: web.url, onProblem() {} }))
  const alice = host.as(await key.sign(claimsFrom(issuer)))
  const { data } = await refusalOf<typeof foreignRouter>(alice.greet.query({ greeting: 'Hello' }))
  expect(data).toMatchObject({ code: 'SERVICE_UNAVAILABLE', httpStatus: 503, why: 'keys_unavailable' })
})

interface Member {
  id: string
  role: 'admin' | 'member'
}

test.each<[string, { user: Member | null }]>([
  ['null', { user: null }],
  // A host without our factory may omit it, despite its types.
  ['left out', JSON.parse('{}')],
])('a user that is %s in a custom context is a missing token', async (_, context) => {
  const own = initTRPC.context<{ user: Member | null }>().create()
  const procedure = own.procedure.concat(requireUser<Member>()).query(({ ctx }) => ctx.user.role)
  const caller = own.createCallerFactory(own.router({ role: procedure }))(context)
  const error: unknown = await caller.role().catch(error => error)
  expect(error).toMatchObject({ code: 'UNAUTHORIZED' })
  expect(reasonOf(error)).toBe('missing')
})

test('the guard narrows the user and no other type', async () => {
  const own = initTRPC.context<{ user: Member | null; tenant: string }>().create()
  const procedure = own.procedure.concat(requireUser<Member>()).query(({ ctx }) => {
    expectTypeOf(ctx).toEqualTypeOf<{ user: Member; tenant: string }>()
    return ctx.user.role
  })
  const plain = own.router({ role: own.procedure.query(({ ctx }) => ctx.user?.role) })
  const guardedRouter = own.router({ role: procedure })
  expectTypeOf<inferRouterError<typeof guardedRouter>>().toEqualTypeOf<inferRouterError<typeof plain>>()
  expectTypeOf<inferRouterError<typeof guardedRouter>>().toEqualTypeOf<TRPCDefaultErrorShape>()
  const caller = own.createCallerFactory(guardedRouter)({
    user: { id: 'alice', role: 'admin' },
    tenant: 'acme',
  })
  expect(await caller.role()).toBe('admin')
})

test('a t whose context has no user cannot take the guard', () => {
  const own = initTRPC.context<{ tenant: string }>().create()
  // @ts-expect-error there is no user in the context
  const procedure = own.procedure.concat(requireUser())
  expect(procedure).toBeDefined()
})

test('publicProcedure has a user or null, a guarded one has a user', async () => {
  const open = publicProcedure.query(({ ctx }) => {
    expectTypeOf(ctx.user).toEqualTypeOf<User | null>()
    return ctx.user?.id
  })
  const closed = publicProcedure.concat(requireUser()).query(({ ctx }) => {
    expectTypeOf(ctx.user).toEqualTypeOf<User>()
    return ctx.user.id
  })
  expect([open, closed].map(procedure => procedure._def.type)).toEqual(['query', 'query'])
})
