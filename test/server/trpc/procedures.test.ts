import { initTRPC } from '@trpc/server'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  type Context,
  createCallerFactory,
  createContextFactory,
  protectedProcedure,
  publicProcedure,
  reasonOf,
  requireUser,
  router,
  TokenError,
} from '../../../server/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { startIssuer } from '../../parts/issuer.js'

let issuer: Awaited<ReturnType<typeof startIssuer>>
let database: Awaited<ReturnType<typeof openTestDatabase>>
let alices: Context
beforeAll(async () => {
  issuer = await startIssuer()
  database = await openTestDatabase('PostgreSQL')
  for (const [user, title] of [
    ['alice', 'hers'],
    ['bob', 'his'],
  ] as const)
    await database.forUser(user).insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()
  const createContext = createContextFactory({ verifier: issuer.verifier, database })
  alices = await createContext({
    req: { headers: { authorization: `Bearer ${await issuer.tokenFor('alice')}` } },
  })
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await issuer[Symbol.asyncDispose]()
})

const t = initTRPC.context<Context>().create()
const titles = ({ ctx }: { ctx: { db: ReturnType<typeof database.forUser> } }) =>
  ctx.db.selectFrom('tasks').select('title').execute()
const guards = {
  protectedProcedure: router({ titles: protectedProcedure.query(titles) }),
  'protectedProcedure behind another middleware': router({
    titles: publicProcedure
      .use(({ next }) => next())
      .concat(protectedProcedure)
      .query(titles),
  }),
  requireUser: t.router({
    titles: t.procedure.concat(requireUser()).query(({ ctx }) => titles({ ctx: ctx as never })),
  }),
}

describe.each(Object.entries(guards))('the user of the context, with %s,', (_, guarded) => {
  const call = (ctx: Context) =>
    createCallerFactory(guarded as typeof guards.protectedProcedure)(ctx).titles()

  test('is the caller', async () => {
    expect(await call(alices)).toEqual([{ title: 'hers' }])
  })

  test('is nobody if the application has put null there', async () => {
    const refusal = await call({ ...alices, user: null }).catch(error => error)
    expect(reasonOf(refusal)).toBe('missing')
  })

  test('is nobody in a copy of a context that was made in an outage, too', async () => {
    let isAway = true
    const createContext = createContextFactory({
      database,
      onRefusal() {},
      verifier: {
        verify: token => {
          if (isAway) return Promise.reject(new TokenError('keys_unavailable'))
          return issuer.verifier.verify(token)
        },
      },
    })
    const req = { headers: { authorization: `Bearer ${await issuer.tokenFor('alice')}` } }
    const made = { ...(await createContext({ req })), user: null }
    isAway = false
    vi.useFakeTimers({ toFake: ['performance'], now: Date.now() + 5_000 })
    const refusal = await call(made).catch(error => error)
    vi.useRealTimers()
    expect(reasonOf(refusal)).toBe('keys_unavailable')
  })

  test('is somebody else if the application has put them there, and so is ctx.db', async () => {
    expect(await call({ ...alices, user: { id: 'bob' } })).toEqual([{ title: 'his' }])
  })
})
