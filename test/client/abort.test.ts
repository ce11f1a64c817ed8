import { getEventListeners } from 'node:events'
import { createTRPCClient, httpBatchLink, httpLink, type TRPCLink } from '@trpc/client'
import { observable } from '@trpc/server/observable'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { bearerAuth, createClient, type Subscribe } from '../../client/index.js'
import { type AppRouter, publicProcedure, router } from '../../server/index.js'
import { transformer } from '../../shared/index.js'
import { refusalOf } from '../parts/api-error.js'
import { later, startTokenApi, tokensOf } from '../parts/token-api.js'

/** A client whose first token is refused, and whose renewal waits for the test. */
async function startRenewing() {
  const api = await startTokenApi()
  const [asked, renewed] = [later<null>(), later<string>()]
  const renewal = () => {
    asked.settle(null)
    return renewed.promise
  }
  const { getToken } = tokensOf(() => api.mint({ kid: 'removed' }), renewal)
  const endRenewal = async () => renewed.settle(await api.mint({}))
  return {
    ...api,
    getToken,
    client: createClient({ url: api.url, cache: true, getToken }),
    underWay: asked.promise,
    endRenewal,
  }
}

const pathsOf = (requests: { url: string }[]) => requests.map(({ url }) => url.split('?')[0])

test('an aborted call is not repeated after the renewal that it waited for', async () => {
  await using api = await startRenewing()
  const controller = new AbortController()
  const call = refusalOf(api.client.me.query(undefined, { signal: controller.signal }))
  await api.underWay
  controller.abort()
  await api.endRenewal()
  expect((await call).cause).toMatchObject({ name: 'AbortError' })
  expect(pathsOf(api.requests)).toEqual(['/trpc/me'])
})

test('an aborted call is not repeated with the other calls of its batch', async () => {
  await using api = await startRenewing()
  const controller = new AbortController()
  const call = api.client.tasks.list.query({}, { signal: controller.signal }).catch(() => 'aborted')
  const other = api.client.me.query()
  await api.underWay
  controller.abort()
  await api.endRenewal()
  expect(await other).toEqual({ id: 'alice' })
  expect(pathsOf(api.requests)).toEqual(['/trpc/tasks.list,me', '/trpc/me'])
  expect(await call).toBe('aborted')
})

/** A router that notes who made each call, and a client of alice, whose token is in memory. */
async function startNoting() {
  const made: string[] = []
  const notingRouter = router({
    note: publicProcedure.input(z.string()).mutation(({ ctx, input }) => {
      made.push(`${input} by ${ctx.user?.id ?? 'nobody'}`)
    }),
  })
  const api = await startTokenApi(notingRouter)
  const person = { id: 'alice' }
  const minted = new Map<string, string>()
  for (const sub of ['alice', 'bob']) minted.set(sub, await api.mint({ sub }))
  let report: Parameters<Subscribe>[0] = () => {}
  const subscribe: Subscribe = listen => {
    report = listen
    return () => {}
  }
  const auth = bearerAuth({ cache: true, getToken: () => minted.get(person.id), subscribe })
  const client = createClient<typeof notingRouter>({ url: api.url, auth })
  await client.note.mutate('the first')
  report('alice')
  const outcome = (call: Promise<unknown>) =>
    call.then(
      () => 'done',
      error => error.cause?.name ?? error.name,
    )
  const note = (text: string, signal?: AbortSignal) =>
    outcome(client.note.mutate(text, signal === undefined ? {} : { signal }))
  /** As a session does that changes, before its new user is known. */
  const forget = () => report(undefined)
  return { ...api, made, person, auth, note, forget }
}

test.each([
  ['at once', (abort: () => void) => abort()],
  ['in a microtask', (abort: () => void) => queueMicrotask(abort)],
  ['in the next one', (abort: () => void) => queueMicrotask(() => queueMicrotask(abort))],
  [
    'after six',
    (abort: () => void) =>
      Promise.all(Array(6))
        .then(() => null)
        .then(() => null)
        .then(abort),
  ],
  ['in a timer', (abort: () => void) => setTimeout(abort, 0)],
])('a call that is aborted %s does not take the token from its batch', async (_, later) => {
  await using api = await startNoting()
  const controller = new AbortController()
  const [aborted, other] = [api.note('aborted', controller.signal), api.note('other')]
  later(() => controller.abort())
  expect([await aborted, await other]).toEqual(['AbortError', 'done'])
  expect(api.made.filter(call => !call.startsWith('aborted'))).toEqual([
    'the first by alice',
    'other by alice',
  ])
  expect(api.made).not.toContain('aborted by nobody')
  expect(api.requests.map(({ token }) => token === undefined)).not.toContain(true)
})

test.each(['null', 'bob'] as const)(
  'a call beside an aborted one is not sent again if the next token is %s',
  async next => {
    await using api = await startNoting()
    const controller = new AbortController()
    const [aborted, other] = [api.note('aborted', controller.signal), api.note('other')]
    setTimeout(() => {
      controller.abort()
      api.person.id = next
      api.forget()
    }, 0)
    expect([await aborted, await other]).toEqual(['AbortError', 'UserChangedError'])
    expect(api.made).toEqual(['the first by alice'])
  },
)

test('a call of the next user does not carry a call of the former one in its batch', async () => {
  await using api = await startNoting()
  const hers = api.note('hers')
  for (let turn = 0; turn < 6; turn++) await null
  api.person.id = 'bob'
  api.auth.clear()
  expect([await hers, await api.note('his')]).toEqual(['UserChangedError', 'done'])
  expect(api.made).toEqual(['the first by alice', 'his by bob'])
})

test('an unsubscribed call is not repeated', async () => {
  await using api = await startRenewing()
  const auth = bearerAuth({ cache: true, getToken: api.getToken })
  const subscriptions: { unsubscribe(): void }[] = []
  const leaving: TRPCLink<AppRouter> =
    () =>
    ({ op, next }) =>
      observable(observer => {
        const subscription = next(op).subscribe(observer)
        subscriptions.push(subscription)
        return () => subscription.unsubscribe()
      })
  const terminating = httpBatchLink<AppRouter>({ url: api.url, transformer, headers: auth.headers })
  const client = createTRPCClient<AppRouter>({ links: [leaving, auth.link, terminating] })
  void client.me.query()
  await api.underWay
  for (const subscription of subscriptions) subscription.unsubscribe()
  await api.endRenewal()
  expect(await client.me.query()).toEqual({ id: 'alice' })
  expect(pathsOf(api.requests)).toEqual(['/trpc/me', '/trpc/me'])
})

test('a call that is aborted before it has a token sends nothing', async () => {
  await using api = await startTokenApi()
  const late = later<string>()
  const client = createClient({ url: api.url, cache: true, getToken: () => late.promise })
  const controller = new AbortController()
  const call = refusalOf(client.me.query(undefined, { signal: controller.signal }))
  controller.abort()
  late.settle(await api.mint({}))
  await call
  expect(await client.me.query()).toEqual({ id: 'alice' })
  expect(api.requests).toHaveLength(1)
})

test('a call that is aborted while it waits for a token fails at once, and the others continue', async () => {
  await using api = await startTokenApi()
  const late = later<string>()
  const client = createClient({ url: api.url, cache: true, getToken: () => late.promise })
  const controller = new AbortController()
  const call = refusalOf(client.me.query(undefined, { signal: controller.signal }))
  const other = client.tasks.list.query({ limit: 1 }).catch(() => 'answered')
  await new Promise(done => setTimeout(done, 20))
  controller.abort()
  expect((await call).cause).toMatchObject({ name: 'AbortError' })
  late.settle(await api.mint({}))
  await other
  expect(api.requests.map(({ token }) => token)).toEqual([await late.promise])
})

test('a call with an aborted signal sends nothing', async () => {
  await using api = await startTokenApi()
  const { getToken, calls } = tokensOf(() => api.mint({}))
  const client = createClient({ url: api.url, cache: true, getToken })
  await refusalOf(client.me.query(undefined, { signal: AbortSignal.abort() }))
  expect([api.requests, calls.count]).toEqual([[], 0])
})

test('after a call no listener is left on its signal', async () => {
  await using api = await startTokenApi()
  const { signal } = new AbortController()
  const auth = bearerAuth({ cache: true, getToken: () => api.mint({}) })
  const end = httpLink<AppRouter>({ url: api.url, transformer, headers: auth.headers })
  const client = createTRPCClient<AppRouter>({ links: [auth.link, end] })
  const before = getEventListeners(signal, 'abort').length
  await client.health.query(undefined, { signal })
  await refusalOf(client.tasks.create.mutate({ title: '' }, { signal }))
  const left = getEventListeners(signal, 'abort').filter(listener => /isWaiting/.test(String(listener)))
  expect([before, left]).toEqual([0, []])
})
