import { createTRPCClient, httpLink } from '@trpc/client'
import { type inferRouterError, initTRPC, type TRPCDefaultErrorShape, TRPCError } from '@trpc/server'
import { createHTTPServer } from '@trpc/server/adapters/standalone'
import { type Kysely, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, expectTypeOf, inject, test } from 'vitest'
import { z } from 'zod'
import { type Database, type OpenDatabase, openDatabase } from '../../../db/index.js'
import {
  type Context,
  createContextFactory,
  createVerifier,
  publicProcedure,
  reasonOf,
  requireUser,
} from '../../../server/index.js'
import { type Reason, transformer, type User } from '../../../shared/index.js'
import { refusalOf } from '../../parts/api-error.js'
import { nowhere, openTestDatabase } from '../../parts/database.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'
import { listen, startWeb } from '../../parts/listen.js'

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
  const { url, [Symbol.asyncDispose]: stop } = await listen(server)
  const as = (token: string | null) =>
    createTRPCClient<typeof foreignRouter>({
      links: [httpLink({ url, headers: token === null ? {} : { authorization: `Bearer ${token}` } })],
    })
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

describe('with a database', () => {
  type Own = { user: User | null; tenant: string }
  const own = initTRPC.context<Own>().create({ transformer })
  let migrated: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    migrated = await openTestDatabase('PostgreSQL', { statementTimeout: 1 })
  })
  afterAll(() => migrated[Symbol.asyncDispose]())
  const withDatabase = () => own.procedure.concat(requireUser({ database: migrated }))
  const call = <T>(
    procedure: ReturnType<typeof withDatabase>,
    query: (db: Kysely<Database>) => Promise<T>,
  ) => {
    const router = own.router({ run: procedure.query(({ ctx }) => query(ctx.db)) })
    return (id: string) => own.createCallerFactory(router)({ user: { id }, tenant: 'acme' }).run()
  }

  test('the guard gives a foreign t the scoped database of the user', async () => {
    const add = call(withDatabase(), db =>
      db.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'own' }).returning('user_id').execute(),
    )
    expect([await add('alice'), await add('bob')]).toEqual([[{ user_id: 'alice' }], [{ user_id: 'bob' }]])
    const list = call(withDatabase(), db => db.selectFrom('tasks').select('user_id').execute())
    expect(await list('alice')).toEqual([{ user_id: 'alice' }])
  })

  test('a timeout, an outage and a refused row have the codes of protectedProcedure', async () => {
    const sleep = call(withDatabase(), db => sql`select pg_sleep(5)`.execute(db))
    await expect(sleep('alice')).rejects.toMatchObject({ code: 'GATEWAY_TIMEOUT' })
    const steal = call(withDatabase(), db =>
      db.insertInto('tasks').values({ user_id: 'bob', id: crypto.randomUUID(), title: 'x' }).execute(),
    )
    await expect(steal('alice')).rejects.toMatchObject({ code: 'FORBIDDEN' })
    const away = await openDatabase({ url: nowhere })
    const lost = own.procedure.concat(requireUser({ database: away }))
    const list = call(lost, db => db.selectFrom('tasks').select('id').execute())
    const error = await list('alice').catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
    expect(reasonOf(error)).toBe('database_unavailable')
    await away.close()
  })

  test('a context of our factory brings its database, and a db of the application stays', async () => {
    const verifier = createVerifier({ ...options, keys: [key.jwk] })
    const req = new Request('http://localhost', {
      headers: { authorization: `Bearer ${await key.sign(claimsFrom(issuer))}` },
    })
    const context = await createContextFactory({ verifier, database: migrated })({ req })
    const seen = async (context: Context & { db?: string }) => {
      const foreign = initTRPC.context<Context & { db?: string }>().create()
      const procedure = foreign.procedure.concat(requireUser()).query(({ ctx }) => ctx.db)
      return foreign
        .createCallerFactory(foreign.router({ db: procedure }))(context)
        .db()
    }
    expect(await seen(context)).toHaveProperty('selectFrom')
    expect(await seen({ ...context, db: 'drizzle' })).toBe('drizzle')
    const withoutDatabase = await createContextFactory({ verifier })({ req })
    expect(await seen(withoutDatabase)).toBeUndefined()
    expect(withoutDatabase.user).toEqual({ id: 'alice' })
  })
})
