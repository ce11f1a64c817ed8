import { createTRPCClient, httpSubscriptionLink, type Operation, type TRPCLink } from '@trpc/client'
import { observable } from '@trpc/server/observable'
import { EventSource } from 'eventsource'
import { expect, test, vi } from 'vitest'
import { bearerAuth } from '../../client/index.js'
import { liveRouter } from '../../examples/subscriptions/router.js'
import { transformer } from '../../shared/index.js'
import { startTokenApi, tokensOf } from '../parts/token-api.js'

type Router = typeof liveRouter

/** A client of the example's router, which reads its stream as docs/client.md shows. */
function startClient(url: string, getToken: () => Promise<string | null>) {
  const onSignedOut = vi.fn()
  const auth = bearerAuth({ cache: true, getToken, onSignedOut })
  const ops: Operation[] = []
  const recorded: TRPCLink<Router> =
    () =>
    ({ op, next }) => {
      ops.push(op)
      return next(op)
    }
  const client = createTRPCClient<Router>({
    links: [
      auth.link,
      recorded,
      httpSubscriptionLink({
        url,
        transformer,
        EventSource,
        eventSourceOptions: ({ op }) => ({
          fetch: async (input: string | URL, init: RequestInit) =>
            fetch(input, { ...init, headers: { ...init.headers, ...(await auth.headers({ op })) } }),
        }),
      }),
    ],
  })
  return { client, auth, ops, onSignedOut }
}

test('a subscription whose tokens are all refused asks for one new token, and then signs out', async () => {
  await using api = await startTokenApi(liveRouter)
  const { getToken, calls } = tokensOf(() => api.mint({ kid: 'unknown' }))
  const { client, onSignedOut } = startClient(api.url, getToken)
  const error = await new Promise<{ data?: { reason?: string } | null }>(onError => {
    client.ticks.subscribe(undefined, { onError })
  })
  expect(error.data?.reason).toBe('unknown_key')
  expect([calls.count, api.requests.length]).toEqual([2, 2])
  expect(onSignedOut).toHaveBeenCalledOnce()
})

test('a subscription that is aborted by its signal completes', async () => {
  await using api = await startTokenApi(liveRouter)
  const { client } = startClient(api.url, () => api.mint({}))
  const controller = new AbortController()
  const events: string[] = []
  await new Promise<void>(done => {
    client.ticks.subscribe(undefined, {
      signal: controller.signal,
      onData: () => controller.abort(),
      onError: error => events.push(error.message),
      onComplete: () => done(events.push('complete') as never),
    })
  })
  expect(events).toEqual(['complete'])
})

test('a connection that is opened again has the token of the same person, also after somebody else has signed in', async () => {
  await using api = await startTokenApi(liveRouter)
  const person = { id: 'alice' }
  const { client, auth, ops } = startClient(api.url, () => api.mint({ sub: person.id }))
  const subscription = await new Promise<{ unsubscribe(): void }>(done => {
    const started = client.ticks.subscribe(undefined, { onData: () => done(started) })
  })
  const [op] = ops
  const before = api.requests.at(-1)?.token
  person.id = 'bob'
  expect(await auth.headers({ op: op as Operation })).toEqual({ authorization: `Bearer ${before}` })
  auth.clear()
  expect(await auth.headers({ op: op as Operation })).toEqual({})
  subscription.unsubscribe()
})

test('a subscription of nobody stays one of nobody', async () => {
  const sent: unknown[] = []
  const tokens: (string | null)[] = [null, 'a.b.c']
  const auth = bearerAuth({ cache: true, getToken: () => tokens.shift() ?? null })
  const end: TRPCLink<Router> =
    () =>
    ({ op }) =>
      observable(observer => {
        const connect = async () => sent.push(await auth.headers({ op }))
        connect()
          .then(connect)
          .then(() => observer.complete())
      })
  const client = createTRPCClient<Router>({ links: [auth.link, end] })
  await new Promise<void>(onComplete => {
    client.ticks.subscribe(undefined, { onComplete })
  })
  expect(sent).toEqual([{}, {}])
})
