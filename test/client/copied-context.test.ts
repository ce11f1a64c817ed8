import { inspect } from 'node:util'
import { createTRPCClient, httpBatchLink, httpLink, type TRPCLink } from '@trpc/client'
import { describe, expect, test, vi } from 'vitest'
import { bearerAuth, UserChangedError } from '../../client/index.js'
import type { AppRouter } from '../../server/index.js'
import { transformer } from '../../shared/index.js'
import { refusalOf } from '../parts/api-error.js'
import { startTokenApi, tokensOf } from '../parts/token-api.js'

type Link = TRPCLink<AppRouter>

const contexts: unknown[] = []
const cloning: Link =
  () =>
  ({ op, next }) => {
    const context = structuredClone(op.context)
    contexts.push(context)
    return next({ ...op, context })
  }
const stripping: Link =
  () =>
  ({ op, next }) =>
    next({ ...op, context: {} })

/** A client with foreign links between our link and the terminating link. */
function startClient(
  url: string,
  between: Link[],
  getToken: () => Promise<string | null>,
  end: typeof httpBatchLink | typeof httpLink = httpBatchLink,
) {
  const onSignedOut = vi.fn()
  const auth = bearerAuth({ cache: true, getToken, onSignedOut })
  const links = [auth.link, ...between, end<AppRouter>({ url, transformer, headers: auth.headers })]
  return { client: createTRPCClient<AppRouter>({ links }), auth, onSignedOut }
}

const links: [what: string, Link][] = [
  ['copies the context deeply', cloning],
  ['strips the context', stripping],
]

test.each(links)('through a link that %s no call of one user is sent as the next user', async (_, link) => {
  await using api = await startTokenApi()
  const person = { id: 'alice' }
  const { client, auth } = startClient(api.url, [link], async () => api.mint({ sub: person.id }))
  const alices = refusalOf(client.me.query())
  auth.clear()
  person.id = 'bob'
  expect((await alices).cause).toBeInstanceOf(UserChangedError)
  expect(api.requests.map(({ token }) => token)).toEqual(api.requests.map(() => undefined))
})

describe('a link that copies the context deeply', () => {
  test.each([httpBatchLink, httpLink])('does not prevent a renewal: %o', async end => {
    await using api = await startTokenApi()
    const { getToken, calls } = tokensOf(
      () => api.mint({ kid: 'other' }),
      () => api.mint({}),
    )
    const { client, onSignedOut } = startClient(api.url, [cloning], getToken, end)
    expect(await client.me.query()).toEqual({ id: 'alice' })
    expect(calls.count).toBe(2)
    expect(onSignedOut).not.toHaveBeenCalled()
    const text = inspect(contexts, { depth: null, showHidden: true })
    for (const { token } of api.requests)
      expect(token?.split('.').some(part => text.includes(part))).toBe(false)
  })

  test('does not send a call as the next user', async () => {
    await using api = await startTokenApi()
    const person = { id: 'alice' }
    const { client, auth } = startClient(api.url, [cloning], async () => api.mint({ sub: person.id }))
    expect(await client.me.query()).toEqual({ id: 'alice' })
    auth.clear()
    person.id = 'bob'
    expect(await client.me.query()).toEqual({ id: 'bob' })
  })
})

test('without our link the current token is sent', async () => {
  await using api = await startTokenApi()
  const auth = bearerAuth({ cache: true, getToken: () => api.mint({}) })
  const end = httpBatchLink<AppRouter>({ url: api.url, transformer, headers: auth.headers })
  const client = createTRPCClient<AppRouter>({ links: [end] })
  expect(await client.me.query()).toEqual({ id: 'alice' })
})

test('with our link headers() for your own request still has the current token', async () => {
  await using api = await startTokenApi()
  const { auth, client } = startClient(api.url, [], () => api.mint({}))
  await client.me.query()
  expect(await auth.headers()).toEqual({ authorization: `Bearer ${api.requests[0]?.token}` })
})
