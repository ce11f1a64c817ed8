import { inspect } from 'node:util'
import { initTRPC } from '@trpc/server'
import { fetchRequestHandler } from '@trpc/server/adapters/fetch'
import { UnsecuredJWT } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { z } from 'zod'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import {
  appRouter,
  type Context,
  createCallerFactory,
  createContextFactory,
  createVerifier,
  protectedProcedure,
  publicProcedure,
  reasonOf,
  requireUser,
  router,
} from '../../../server/index.js'
import { transformer } from '../../../shared/index.js'
import { seconds as now } from '../../parts/clock.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'
import { startWeb } from '../../parts/listen.js'
import { requestHosts } from '../../parts/request-hosts.js'
import { waitFor } from '../../parts/wait-for.js'

const issuer = 'https://auth.example.com'
const options = { issuer, audience: issuer }
const key = await makeKey()
const stranger = await makeKey('EdDSA', key.kid)
const verifier = createVerifier({ ...options, keys: [key.jwk] })
const token = await key.sign(claimsFrom(issuer))

let database: OpenDatabase
beforeAll(async () => {
  // The pool connects on demand, so nothing connects here.
  database = await openDatabase({ url: inject('postgresUrl') })
})
afterAll(() => database.close())

const createContext = (req: Parameters<ReturnType<typeof createContextFactory>>[0]['req']) =>
  createContextFactory({ verifier, database, onRefusal() {} })({ req })
const bearing = (text: string) =>
  new Request('http://localhost', { headers: { authorization: `Bearer ${text}` } })

/** The user id of a call, or the reason of its refusal. */
const whoami = createCallerFactory(router({ id: protectedProcedure.query(({ ctx }) => ctx.user.id) }))
const callerOf = async (req: Parameters<typeof createContext>[0]) =>
  whoami(await createContext(req))
    .id()
    .catch(reasonOf)

describe.each(requestHosts)('on %s', (_, send) => {
  const authorizations = (...values: string[]) =>
    send(
      '/',
      values.map(value => ['Authorization', value]),
      callerOf,
    )

  test.each([['Bearer'], ['bearer'], ['BEARER'], ['Bearer  ']])(
    'the scheme %j is accepted: any case, several spaces',
    async scheme => {
      expect(await authorizations(`${scheme} ${token}`)).toBe('alice')
    },
  )

  test.each([
    ['Basic', ['Basic YWxpY2U6c2VjcmV0']],
    ['the scheme alone', ['Bearer']],
    ['the token alone', [token]],
    ['the token without a space', [`Bearer${token}`]],
    ['the token after a tab', [`Bearer\t${token}`]],
    ['the token in quotes', [`Bearer "${token}"`]],
    ['something behind the token', [`Bearer ${token} and more`]],
    ['a list', [`Bearer ${token}, Bearer ${token}`]],
    ['a list with nothing in front', [`, Bearer ${token}`]],
    ['a token that is none', ['Bearer milk']],
    ['the same header twice', [`Bearer ${token}`, `Bearer ${token}`]],
    ['a second header of another scheme', [`Bearer ${token}`, 'Basic YWxpY2U6c2VjcmV0']],
    ['a second header behind Basic', ['Basic YWxpY2U6c2VjcmV0', `Bearer ${token}`]],
    ['a second header behind an empty one', ['', `Bearer ${token}`]],
    ['a second header that is empty', [`Bearer ${token}`, '']],
  ])('%s is malformed', async (_, values) => {
    expect(await authorizations(...values)).toBe('malformed')
  })

  test('no header and an empty header are "missing"', async () => {
    expect(await authorizations()).toBe('missing')
    expect(await authorizations('')).toBe('missing')
  })

  test('a token anywhere else is ignored', async () => {
    const caller = await send(
      `/?access_token=${token}&token=${token}&authorization=Bearer%20${token}`,
      [
        [
          'Cookie',
          `authorization=Bearer ${token}; access_token=${token}; better-auth.session_token=${token}`,
        ],
        ['Proxy-Authorization', `Bearer ${token}`],
        ['X-Authorization', `Bearer ${token}`],
      ],
      callerOf,
    )
    expect(caller).toBe('missing')
  })
})

test('headers in a plain object are read too', async () => {
  expect(await callerOf({ headers: { authorization: `Bearer ${token}` } })).toBe('alice')
  expect(await callerOf({ headers: { authorization: [`Bearer ${token}`, `Bearer ${token}`] } })).toBe(
    'malformed',
  )
  expect(await callerOf({ headers: {} })).toBe('missing')
})

const bad: [reason: string, make: () => string | Promise<string>][] = [
  ['malformed', () => 'milk'],
  ['expired', () => key.sign(claimsFrom(issuer, { exp: now() - 60 }))],
  ['not_yet_valid', () => key.sign(claimsFrom(issuer, { nbf: now() + 60 }))],
  ['signature', () => stranger.sign(claimsFrom(issuer))],
  ['issuer', () => key.sign(claimsFrom(issuer, { iss: 'https://evil.example.com' }))],
  ['audience', () => key.sign(claimsFrom(issuer, { aud: 'https://other.example.com' }))],
  ['unknown_key', () => key.sign(claimsFrom(issuer), { kid: 'unknown' })],
  ['claims', () => key.sign(claimsFrom(issuer, { sub: '' }))],
  ['algorithm', () => new UnsecuredJWT(claimsFrom(issuer)).encode()],
]

const createCaller = createCallerFactory(
  router({
    user: publicProcedure.query(({ ctx }) => ctx.user),
    context: publicProcedure.query(({ ctx }) => Object.keys(ctx)),
    protected: protectedProcedure.query(({ ctx }) => ctx.user),
    database: protectedProcedure.query(({ ctx }) => ctx.db.selectFrom('tasks').select('id').compile().sql),
  }),
)

test.each(bad)(
  'with a bad token public procedures answer, protected ones give the reason: %s',
  async (reason, make) => {
    const text = await make()
    const caller = createCaller(await createContext(bearing(text)))
    expect(await caller.user()).toBeNull()
    const error: unknown = await caller.protected().catch(error => error)
    expect(error).toMatchObject({
      name: 'TRPCError',
      code: 'UNAUTHORIZED',
      cause: { name: 'TokenError', reason },
    })
    expect(reasonOf(error)).toBe(reason)
    const printed = inspect(error, { depth: null, showHidden: true, maxStringLength: null })
    expect(printed).not.toContain(text)
  },
)

test('without a token protected procedures give the reason "missing"', async () => {
  const caller = createCaller(await createContext(new Request('http://localhost')))
  const error: unknown = await caller.protected().catch(error => error)
  expect(error).toMatchObject({ code: 'UNAUTHORIZED' })
  expect(reasonOf(error)).toBe('missing')
})

test('if the keys cannot be fetched, protected procedures are SERVICE_UNAVAILABLE', async () => {
  await using web = await startWeb((_, res) => res.writeHead(500).end())
  const away = createVerifier({ ...options, jwksUrl: web.url, onProblem() {} })
  const createContext = createContextFactory({ verifier: away, database })
  const caller = createCaller(await createContext({ req: bearing(token) }))
  expect(await caller.user()).toBeNull()
  const error: unknown = await caller.protected().catch(error => error)
  expect(error).toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
  expect(reasonOf(error)).toBe('keys_unavailable')
})

test('with a good token every procedure has the user, and protected ones have a database', async () => {
  const caller = createCaller(await createContext(bearing(token)))
  expect(await caller.user()).toEqual({ id: 'alice' })
  expect(await caller.protected()).toEqual({ id: 'alice' })
  expect(await caller.database()).toContain('"tasks"')
})

test('a public procedure has only the user in its context', async () => {
  const caller = createCaller(await createContext(bearing(token)))
  expect(await caller.context()).toEqual(['user'])
  // @ts-expect-error a public procedure has no database
  publicProcedure.query(({ ctx }) => ctx.db)
})

test('server-side callers behave the same: health for everyone, me for signed-in callers', async () => {
  const callerFor = createCallerFactory(appRouter)
  const nobody = callerFor(await createContext(new Request('http://localhost')))
  expect(await nobody.health()).toEqual({ ok: true })
  await expect(nobody.me()).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  expect(await callerFor(await createContext(bearing(token))).me()).toEqual({ id: 'alice' })
})

describe('a context that lives on, as over WebSocket', () => {
  afterEach(() => void vi.useRealTimers())

  test.each(['protectedProcedure', 'requireUser'] as const)(
    'verifies its token again after a second, by %s',
    async guard => {
      vi.useFakeTimers({ toFake: ['performance'] })
      const isRevoked = vi.fn(() => false)
      const createLasting = createContextFactory({
        verifier: createVerifier({ ...options, keys: [key.jwk], isRevoked }),
        database,
      })
      const t = initTRPC.context<Context>().create()
      const procedure =
        guard === 'protectedProcedure' ? protectedProcedure : t.procedure.concat(requireUser())
      const caller = t.createCallerFactory(t.router({ id: procedure.query(({ ctx }) => ctx.user.id) }))(
        await createLasting({ req: bearing(token) }),
      )
      expect(await caller.id()).toBe('alice')
      expect(isRevoked).toHaveBeenCalledTimes(1)
      vi.advanceTimersByTime(1_000)
      expect(await caller.id()).toBe('alice')
      expect(isRevoked).toHaveBeenCalledTimes(2)
      isRevoked.mockReturnValue(true)
      vi.advanceTimersByTime(1_000)
      await expect(caller.id()).rejects.toSatisfy(error => reasonOf(error) === 'revoked')
    },
  )
})

describe('a context that was made in an outage', () => {
  afterEach(() => void vi.useRealTimers())

  const startOutage = async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const isRevoked = vi.fn((): boolean => {
      throw new Error('down')
    })
    const createContext = createContextFactory({
      verifier: createVerifier({ ...options, keys: [key.jwk], isRevoked }),
      database,
    })
    return { isRevoked, context: await createContext({ req: bearing(token) }) }
  }

  test('has the user and the database when the outage is over, after a second', async () => {
    const { isRevoked, context } = await startOutage()
    const caller = createCaller(context)
    const reason = () => caller.protected().catch(reasonOf)
    expect(await reason()).toBe('revocation_unavailable')
    isRevoked.mockReturnValue(false)
    vi.advanceTimersByTime(999)
    expect(await reason()).toBe('revocation_unavailable')
    expect(isRevoked).toHaveBeenCalledTimes(1)
    vi.advanceTimersByTime(1)
    expect(await caller.protected()).toEqual({ id: 'alice' })
    expect(await caller.database()).toContain('"tasks"')
    expect(isRevoked).toHaveBeenCalledTimes(2)
  })

  test('is refused for what the token is when the outage is over', async () => {
    const { isRevoked, context } = await startOutage()
    isRevoked.mockReturnValue(true)
    vi.advanceTimersByTime(1_000)
    expect(await createCaller(context).protected().catch(reasonOf)).toBe('revoked')
  })

  test('never signs out a user of your own: requireUser keeps the reason', async () => {
    const { isRevoked, context } = await startOutage()
    isRevoked.mockReturnValue(false)
    vi.advanceTimersByTime(1_000)
    const t = initTRPC.context<Context>().create()
    const procedure = t.procedure.concat(requireUser()).query(({ ctx }) => ctx.user.id)
    const caller = t.createCallerFactory(t.router({ id: procedure }))(context)
    expect(await caller.id().catch(reasonOf)).toBe('revocation_unavailable')
  })
})

describe("on tRPC's own adapter, a body that arrives late", () => {
  afterEach(() => void vi.useRealTimers())

  test.each(['protectedProcedure', 'requireUser'] as const)(
    'is not taken from a token that was revoked meanwhile, by %s',
    async guard => {
      vi.useFakeTimers({ toFake: ['performance'] })
      const isRevoked = vi.fn(() => false)
      const createContext = createContextFactory({
        verifier: createVerifier({ ...options, keys: [key.jwk], isRevoked }),
        database,
      })
      const pay = vi.fn(() => 'paid')
      const t = initTRPC.context<Context>().create({ transformer })
      const guarded = guard === 'protectedProcedure' ? protectedProcedure : t.procedure.concat(requireUser())
      const body = new TransformStream<Uint8Array, Uint8Array>()
      const answer = fetchRequestHandler({
        endpoint: '',
        router: t.router({ pay: guarded.input(z.object({ amount: z.number() })).mutation(pay) }),
        createContext,
        req: new Request('http://localhost/pay', {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: body.readable,
          duplex: 'half',
        }),
      })
      await waitFor(() => expect(isRevoked).toHaveBeenCalledOnce())
      isRevoked.mockReturnValue(true)
      vi.advanceTimersByTime(1_000)
      const writer = body.writable.getWriter()
      await writer.write(new TextEncoder().encode('{"json":{"amount":1000}}'))
      await writer.close()
      expect((await answer).status).toBe(401)
      expect(pay).not.toHaveBeenCalled()
    },
  )

  test.each(['protectedProcedure', 'requireUser'] as const)(
    'is taken with the role that the caller has by then, by %s, and so is a later call of a WebSocket',
    async guard => {
      vi.useFakeTimers({ toFake: ['performance'] })
      const scope = { now: 'admin' }
      const seen: unknown[] = []
      const createContext = createContextFactory({
        verifier: createVerifier({
          ...options,
          keys: [key.jwk],
          // A Date is not remembered with the token, so this runs each time.
          user: z
            .object({ sub: z.string() })
            .transform(({ sub }) => ({ id: sub, scope: scope.now, at: new Date(0) })),
        }),
        database: {
          forUser(user) {
            seen.push(user)
            return database.forUser(user)
          },
        },
      })
      const t = initTRPC.context<Context>().create({ transformer })
      const guarded = guard === 'protectedProcedure' ? protectedProcedure : t.procedure.concat(requireUser())
      const me = t.createCallerFactory(t.router({ me: guarded.query(({ ctx }) => ctx.user) }))
      const caller = me(await createContext({ req: bearing(token) }))
      expect(await caller.me()).toMatchObject({ scope: 'admin' })
      scope.now = 'reader'
      vi.advanceTimersByTime(1_000)
      expect(await caller.me()).toMatchObject({ scope: 'reader' })
      expect(seen).toMatchObject([{ scope: 'admin' }, { scope: 'reader' }])
    },
  )

  test('that is malformed is no matter for a procedure without input', async () => {
    const answer = await fetchRequestHandler({
      endpoint: '',
      router: router({ me: protectedProcedure.mutation(({ ctx }) => ctx.user.id) }),
      createContext: ({ req, info }) => createContextFactory({ verifier, database })({ req, info }),
      req: new Request('http://localhost/me', {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: '{"json":',
      }),
    })
    expect(await answer.json()).toMatchObject({ result: { data: { json: 'alice' } } })
  })
})
