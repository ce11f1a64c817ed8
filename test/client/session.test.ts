import { describe, expect, test, vi } from 'vitest'
import { betterAuthToken, createClient, UserChangedError } from '../../client/index.js'
import { refusalOf } from '../parts/api-error.js'
import { later, startTokenApi } from '../parts/token-api.js'
import { waitFor } from '../parts/wait-for.js'

/** Who is signed in at the issuer, and what the page is told of it. */
function startSession(mint: (sub: string) => Promise<string>, signedIn: string | null = 'alice') {
  const state = { signedIn, asked: 0, report: (_: string | null) => {} }
  const getToken = async () => {
    state.asked++
    return state.signedIn === null ? null : mint(state.signedIn)
  }
  const subscribe = (report: (userId: string | null) => void) => {
    state.report = report
    return () => {}
  }
  const become = (user: string | null) => {
    state.signedIn = user
    state.report(user)
  }
  return { state, options: { cache: true, getToken, subscribe }, become }
}

describe('a session that changes in another tab', () => {
  test('is followed at once: the next call is of the new user', async () => {
    await using api = await startTokenApi()
    const { options, state, become } = startSession(sub => api.mint({ sub }))
    const client = createClient({ url: api.url, ...options })
    expect(await client.me.query()).toEqual({ id: 'alice' })
    state.report('alice')
    become('bob')
    expect(await client.me.query()).toEqual({ id: 'bob' })
    become(null)
    expect((await refusalOf(client.me.query())).data?.reason).toBe('missing')
    become('carol')
    expect(await client.me.query()).toEqual({ id: 'carol' })
  })

  test.each(['bob', null])(
    'fails the running calls, and repeats none, if the user becomes %s',
    async next => {
      await using api = await startTokenApi()
      const { options, state, become } = startSession(sub => api.mint({ sub }))
      const [sent, answer] = [later<null>(), later<null>()]
      const client = createClient({
        url: api.url,
        ...options,
        async fetch(input, init) {
          const response = await fetch(input, init)
          sent.settle(null)
          await answer.promise
          return response
        },
      })
      const call = refusalOf(client.me.query())
      await sent.promise
      state.report('alice')
      become(next)
      expect((await call).cause).toBeInstanceOf(UserChangedError)
      answer.settle(null)
      expect(api.requests).toHaveLength(1)
    },
  )

  test('fails a call that waits for a token, and the token is not used', async () => {
    await using api = await startTokenApi()
    const { options, become, state } = startSession(sub => api.mint({ sub }))
    const token = later<string>()
    const client = createClient({ url: api.url, ...options, getToken: () => token.promise })
    const call = refusalOf(client.me.query())
    state.report('alice')
    become('bob')
    expect((await call).cause).toBeInstanceOf(UserChangedError)
    token.settle(await api.mint({ sub: 'alice' }))
    expect(await client.me.query().catch(() => 'refused')).toEqual({ id: 'alice' })
  })

  test('that is first reported while a token is fetched is followed, even if the token is of another user', async () => {
    await using api = await startTokenApi()
    const { options, state } = startSession(sub => api.mint({ sub }))
    const first = later<string>()
    const tokens = [first.promise]
    const client = createClient({
      url: api.url,
      ...options,
      getToken: () => tokens.shift() ?? api.mint({ sub: 'bob' }),
    })
    const call = client.me.query()
    state.report('bob')
    first.settle(await api.mint({ sub: 'alice' }))
    expect(await call).toEqual({ id: 'bob' })
    expect(await client.me.query()).toEqual({ id: 'bob' })
  })

  test('of the same user renews the token, because it may have another organisation, and fails no call', async () => {
    await using api = await startTokenApi()
    const { options, state } = startSession(sub => api.mint({ sub }))
    const client = createClient({ url: api.url, ...options })
    await client.me.query()
    state.report('alice')
    expect(state.asked).toBe(1)
    const running = client.me.query()
    state.report('alice')
    expect(await running).toEqual({ id: 'alice' })
    await client.me.query()
    expect(state.asked).toBe(2)
  })

  test('before it was first reported is noticed by the subject of the token', async () => {
    await using api = await startTokenApi()
    const { options, become } = startSession(sub => api.mint({ sub }))
    const client = createClient({ url: api.url, ...options })
    expect(await client.me.query()).toEqual({ id: 'alice' })
    become('bob')
    expect(await client.me.query()).toEqual({ id: 'bob' })
  })

  test.each(['bob', null])(
    'to %s fails the running calls, also if it is the first that is reported',
    async next => {
      await using api = await startTokenApi()
      const { options, become } = startSession(sub => api.mint({ sub }))
      const answer = later<null>()
      const client = createClient({
        url: api.url,
        ...options,
        async fetch(input, init) {
          const response = await fetch(input, init)
          if (init?.method === 'POST') await answer.promise
          return response
        },
      })
      await client.me.query()
      const call = refusalOf(client.tasks.clearCompleted.mutate())
      await waitFor(() => expect(api.requests).toHaveLength(2))
      become(next)
      expect((await call).cause).toBeInstanceOf(UserChangedError)
      answer.settle(null)
    },
  )

  test('is followed if the tokens name the user by another id than the session', async () => {
    await using api = await startTokenApi()
    const { options, become, state } = startSession(sub => api.mint({ sub: `${sub}@example.com` }))
    const client = createClient({ url: api.url, ...options })
    const running = client.me.query()
    state.report('alice')
    expect(await running).toEqual({ id: 'alice@example.com' })
    const hers = refusalOf(client.me.query())
    become('bob')
    expect((await hers).cause).toBeInstanceOf(UserChangedError)
    expect(await client.me.query()).toEqual({ id: 'bob@example.com' })
  })
})

describe('betterAuthToken', () => {
  function startAtom(initial: object) {
    const listeners = new Set<(value: unknown) => void>()
    return {
      set(value: object) {
        for (const listen of listeners) listen(value)
      },
      subscribe(listen: (value: unknown) => void) {
        listeners.add(listen)
        listen(initial)
        return () => listeners.delete(listen)
      },
    }
  }
  const pending = { data: null, error: null, isPending: true }
  const sessionOf = (id: string) => ({ data: { user: { id } }, error: null, isPending: false })

  test('reports each session once, and nothing while it is unknown', () => {
    const session = startAtom(pending)
    const getToken = betterAuthToken({
      token: async () => ({ data: { token: 'a.b.c' }, error: null }),
      $store: { atoms: { session } },
    })
    const report = vi.fn()
    getToken.subscribe?.(report)
    const alice = sessionOf('alice')
    session.set(alice)
    session.set({ ...alice, isRefetching: true })
    session.set({ ...alice, error: { status: 500 } })
    session.set({ ...alice, error: new TypeError('Failed to fetch') })
    session.set({ ...sessionOf('alice') })
    session.set({ data: null, error: null, isPending: false })
    session.set(sessionOf('bob'))
    session.set({ data: null, error: { status: 401 }, isPending: false })
    expect(report.mock.calls).toEqual([['alice'], ['alice'], [null], ['bob'], [null]])
  })
})

test('a call that was made while nobody was signed in is not repeated as the person who signs in next', async () => {
  await using api = await startTokenApi()
  const tokens = [null, null, await api.mint({ sub: 'bob' })]
  const client = createClient({ url: api.url, cache: true, getToken: () => tokens.shift() })
  expect(await client.health.query()).toEqual({ ok: true })
  expect((await refusalOf(client.me.query())).data?.reason).toBe('missing')
  expect(await client.me.query()).toEqual({ id: 'bob' })
})
