import { describe, expect, test, vi } from 'vitest'
import { bearerAuth, betterAuthToken, createClient, UserChangedError } from '../../client/index.js'
import { refusalOf } from '../parts/api-error.js'
import { later, startTokenApi } from '../parts/token-api.js'
import { waitFor } from '../parts/wait-for.js'

type Report = (userId: string | null | undefined) => void

/** A page with a session, and how often it was told of another user. */
function startPage(options: {
  url: string
  mint: (sub: string) => Promise<string>
  isWatched?: boolean
  fetch?: typeof globalThis.fetch
  onSignedOut?: () => void
}) {
  const { url, mint, isWatched = true, fetch, onSignedOut } = options
  const page = { signedIn: 'alice' as string | null, changes: 0, report: (() => {}) as Report }
  const auth = bearerAuth({
    cache: true,
    onSignedOut,
    getToken: async () => (page.signedIn === null ? null : mint(page.signedIn)),
    ...(isWatched && {
      subscribe: (report: Report) => {
        page.report = report
        return () => {}
      },
    }),
  })
  const stop = auth.onUserChange(() => page.changes++)
  return { page, auth, stop, client: createClient({ url, auth, fetch }) }
}

describe('onUserChange', () => {
  test('is not called while a page learns who is signed in, nor for the same user again', async () => {
    await using api = await startTokenApi()
    const { page, client } = startPage({ url: api.url, mint: sub => api.mint({ sub }) })
    page.report(undefined)
    page.report('alice')
    await client.me.query()
    page.report(undefined)
    page.report('alice')
    expect(page.changes).toBe(0)
  })

  test('is called once for a sign-out, a sign-in and another user', async () => {
    await using api = await startTokenApi()
    const { page, auth } = startPage({ url: api.url, mint: sub => api.mint({ sub }) })
    const changesAfter = (userId: string | null) => {
      const before = page.changes
      page.report(undefined)
      page.report(userId)
      return page.changes - before
    }
    page.report('alice')
    expect(['bob', null, null, 'alice', 'alice'].map(changesAfter)).toEqual([1, 1, 0, 1, 0])
    auth.clear()
    expect(page.changes).toBe(4)
    expect(changesAfter(null)).toBe(0)
  })

  test('is called if the page has already fetched with the token of somebody else', async () => {
    await using api = await startTokenApi()
    const { page, client } = startPage({ url: api.url, mint: sub => api.mint({ sub }) })
    await client.me.query()
    page.signedIn = 'bob'
    page.report('bob')
    await waitFor(() => expect(page.changes).toBe(1))
    expect(await client.me.query()).toEqual({ id: 'bob' })
    expect(page.changes).toBe(1)
  })

  test('is not called if the tokens name the same user by another id than the session', async () => {
    await using api = await startTokenApi()
    const { page, client } = startPage({ url: api.url, mint: sub => api.mint({ sub: `${sub}@example.com` }) })
    await client.me.query()
    page.report('alice')
    await client.me.query()
    expect(page.changes).toBe(0)
  })

  test('is called if a renewed token is of another person, of whom the session has not heard yet', async () => {
    await using api = await startTokenApi()
    const { page, client } = startPage({ url: api.url, mint: sub => api.mint({ sub, life: 0 }) })
    page.report('alice')
    await client.me.query()
    page.signedIn = 'bob'
    expect((await refusalOf(client.me.query())).cause).toBeInstanceOf(UserChangedError)
    expect(page.changes).toBe(1)
    page.report('bob')
    expect(await client.me.query()).toEqual({ id: 'bob' })
    expect(page.changes).toBe(1)
  })

  test.each(['a JWT', 'an opaque token'])(
    'without subscribe is called at each sign-out, with %s',
    async kind => {
      await using api = await startTokenApi()
      const mint = async (sub: string) => (kind === 'a JWT' ? api.mint({ sub }) : `opaque-${sub}`)
      const { page, auth, client } = startPage({ url: api.url, mint, isWatched: false })
      for (const [times, sub] of ['alice', 'bob', 'carol'].entries()) {
        page.signedIn = sub
        await client.health.query()
        expect(page.changes).toBe(times)
        auth.clear()
        auth.clear()
        expect(page.changes).toBe(times + 1)
      }
    },
  )

  test('without subscribe is called if the API refuses the user for good', async () => {
    await using api = await startTokenApi()
    const { page, client } = startPage({ url: api.url, mint: sub => api.mint({ sub }), isWatched: false })
    await client.me.query()
    page.signedIn = null
    for (const { token = '' } of api.requests) api.revoked.add(token)
    await refusalOf(client.me.query())
    await refusalOf(client.me.query())
    expect(page.changes).toBe(1)
    page.signedIn = 'bob'
    expect(await client.me.query()).toEqual({ id: 'bob' })
    expect(page.changes).toBe(1)
  })

  test('is called without subscribe if a new token is of another person', async () => {
    await using api = await startTokenApi()
    const people = [{ sub: 'alice', kid: 'removed' }, { sub: 'bob' }]
    const { page, client } = startPage({
      url: api.url,
      mint: () => api.mint(people.shift() ?? {}),
      isWatched: false,
    })
    await refusalOf(client.me.query())
    expect(page.changes).toBe(1)
  })

  test('stops when asked', async () => {
    await using api = await startTokenApi()
    const { page, stop } = startPage({ url: api.url, mint: sub => api.mint({ sub }) })
    page.report('alice')
    stop()
    page.report('bob')
    expect(page.changes).toBe(0)
  })
})

describe('onSignedOut and the page', () => {
  /** An API that refuses some calls, which `answer` decides by procedure and user. */
  async function startRefusing(answer: (procedure: string, token: string | undefined) => boolean) {
    const api = await startTokenApi()
    const refused = {
      error: { json: { message: '', code: -32_001, data: { code: 'UNAUTHORIZED', httpStatus: 401 } } },
    }
    const asking: typeof fetch = async (input, init) => {
      const [procedure = ''] = /[^/?]+(?=\?|$)/.exec(String(input)) ?? []
      const token = new Headers(init?.headers).get('authorization') ?? undefined
      return answer(procedure, token) ? fetch(input, init) : Response.json([refused], { status: 401 })
    }
    return { ...api, fetch: asking }
  }

  test('a refused procedure beside an answered one does not mount the page again and again', async () => {
    await using api = await startRefusing(procedure => procedure === 'health')
    const { auth, client } = startPage({
      ...api,
      mint: sub => api.mint({ sub }),
      isWatched: false,
      fetch: api.fetch,
    })
    const changes = auth.userChanges()
    for (let turn = 0; turn < 5; turn++) {
      await client.health.query()
      await refusalOf(client.me.query())
    }
    expect(auth.userChanges()).toBe(changes)
  })

  test('are told of the next user after two refusals, and the page of the former one does not call as them', async () => {
    await using api = await startRefusing(procedure => procedure !== 'tasks.list')
    const tokens = { alice: await api.mint({ sub: 'alice' }), bob: await api.mint({ sub: 'bob' }) }
    const mint = async (sub: string) => (sub === 'bob' ? tokens.bob : tokens.alice)
    const { page, auth } = startPage({ ...api, mint, isWatched: false, fetch: api.fetch })
    for (let turn = 0; turn < 2; turn++) {
      const hers = createClient({ url: api.url, fetch: api.fetch, auth: auth.forCurrentUser() })
      await hers.me.query()
      await refusalOf(hers.tasks.list.query())
    }
    const hers = createClient({ url: api.url, fetch: api.fetch, auth: auth.forCurrentUser() })
    const { changes } = page
    page.signedIn = 'bob'
    expect((await refusalOf(hers.me.query())).cause).toBeInstanceOf(UserChangedError)
    expect(page.changes).toBe(changes + 1)
  })

  test.each([true, false])(
    'are not told of a late refusal of nobody after a sign-in, watched: %s',
    async isWatched => {
      await using api = await startTokenApi()
      const [sent, answer] = [later<null>(), later<null>()]
      const slow: typeof fetch = async (input, init) => {
        const response = await fetch(input, init)
        if (new Headers(init?.headers).has('authorization')) return response
        sent.settle(null)
        await answer.promise
        return response
      }
      const onSignedOut = vi.fn()
      const { page, client } = startPage({
        ...api,
        mint: sub => api.mint({ sub }),
        isWatched,
        fetch: slow,
        onSignedOut,
      })
      page.signedIn = null
      const nobodys = refusalOf(client.me.query())
      if (isWatched) page.report(null)
      await sent.promise
      page.signedIn = 'bob'
      page.report('bob')
      expect(await client.me.query()).toEqual({ id: 'bob' })
      const { changes } = page
      answer.settle(null)
      await nobodys
      expect(onSignedOut).not.toHaveBeenCalled()
      expect(page.changes).toBe(changes)
    },
  )

  test('are told when the user who has signed in is refused too', async () => {
    await using api = await startTokenApi()
    const onSignedOut = vi.fn()
    const { page, client } = startPage({
      ...api,
      mint: sub => api.mint({ sub, kid: 'removed' }),
      onSignedOut,
    })
    page.signedIn = null
    page.report(null)
    await refusalOf(client.me.query())
    page.signedIn = 'bob'
    page.report('bob')
    await refusalOf(client.me.query())
    expect(onSignedOut).toHaveBeenCalledTimes(2)
  })
})

test.each([['the same user'], ['nobody in particular']])(
  'a getToken that itself reports %s is asked once',
  async who => {
    await using api = await startTokenApi()
    let report: Report = () => {}
    let asked = 0
    const getToken = async () => {
      asked++
      report(who === 'the same user' ? 'alice' : undefined)
      return api.mint({})
    }
    const subscribe = (listen: Report) => {
      report = listen
      listen('alice')
      return () => {}
    }
    const client = createClient({ url: api.url, cache: true, getToken, subscribe })
    expect(await client.me.query()).toEqual({ id: 'alice' })
    expect(asked).toBe(1)
  },
)

test('a user who is reported while the opaque token of another is on its way does not get it', async () => {
  const [asked, first] = [later<null>(), later<string>()]
  const tokens = [first.promise]
  let report: Report = () => {}
  const sent: (string | null)[] = []
  const client = createClient({
    url: 'http://127.0.0.1:9/trpc',
    cache: true,
    getToken() {
      asked.settle(null)
      return tokens.shift() ?? 'of-bob'
    },
    subscribe(listen) {
      report = listen
      listen('alice')
      return () => {}
    },
    async fetch(_, init) {
      sent.push(new Headers(init?.headers).get('authorization'))
      return Response.json([{ result: { data: { json: { ok: true } } } }])
    },
  })
  const hers = refusalOf(client.health.query())
  await asked.promise
  report('bob')
  const his = client.health.query()
  first.settle('of-alice')
  await his
  expect((await hers).cause).toBeInstanceOf(UserChangedError)
  expect(sent).toEqual(['Bearer of-bob'])
})

describe('a session that was null already', () => {
  test.each(['a JWT', 'an opaque token'])(
    'ends %s that was sent since, when it is null again',
    async kind => {
      await using api = await startTokenApi()
      const mint = async (sub: string) => (kind === 'a JWT' ? api.mint({ sub }) : `opaque-${sub}`)
      const { page, auth, client } = startPage({ url: api.url, mint })
      page.report('alice')
      auth.clear()
      const before = page.changes
      await client.health.query()
      page.signedIn = null
      page.report(undefined)
      page.report(null)
      await waitFor(() => expect(page.changes).toBe(before + 1))
      page.report(null)
      expect((await refusalOf(client.me.query())).data?.reason).toBe('missing')
      expect(page.changes).toBe(before + 1)
    },
  )

  test('ends nobody who still has a token', async () => {
    await using api = await startTokenApi()
    const { page, client } = startPage({ url: api.url, mint: sub => api.mint({ sub }) })
    page.report(null)
    expect(await client.me.query()).toEqual({ id: 'alice' })
    const before = page.changes
    for (let times = 0; times < 5; times++) {
      page.report(null)
      expect(await client.me.query()).toEqual({ id: 'alice' })
    }
    expect(page.changes).toBe(before)
  })

  test('ends the user whom another tab has signed in and out, with Better Auth', async () => {
    await using api = await startTokenApi()
    let listen: (value: unknown) => void = () => {}
    let signedIn: string | null = 'alice'
    const authClient = {
      token: async () =>
        signedIn === null
          ? { data: null, error: { status: 401, statusText: 'Unauthorized' } }
          : { data: { token: await api.mint({ sub: signedIn }) }, error: null },
      $store: {
        atoms: {
          session: {
            subscribe(given: typeof listen) {
              listen = given
              given({ data: null, error: null, isPending: false })
              return () => {}
            },
          },
        },
      },
    }
    const auth = bearerAuth({ cache: true, getToken: betterAuthToken(authClient) })
    let changes = 0
    auth.onUserChange(() => changes++)
    const client = createClient({ url: api.url, auth })
    expect(await client.me.query()).toEqual({ id: 'alice' })
    const before = changes
    signedIn = null
    // It fetches the session again at the message of the other tab.
    listen({ data: null, error: null, isPending: false })
    await waitFor(() => expect(changes).toBe(before + 1))
    expect((await refusalOf(client.me.query())).data?.reason).toBe('missing')
  })
})

test.each(['bob', null])(
  'a late refusal of nobody leaves the next user alone, who then becomes %s',
  async next => {
    await using api = await startTokenApi()
    const signedOut = vi.fn()
    const [sent, answers] = [
      [later<null>(), later<null>()],
      [later<null>(), later<null>()],
    ]
    let calls = 0
    const { page, client } = startPage({
      url: api.url,
      mint: sub => api.mint({ sub }),
      onSignedOut: signedOut,
      async fetch(input, init) {
        const number = calls++
        const response = await fetch(input, init)
        sent[number]?.settle(null)
        await answers[number]?.promise
        return response
      },
    })
    page.signedIn = null
    page.report(null)
    const nobody = refusalOf(client.me.query())
    await sent[0]?.promise
    page.signedIn = 'carol'
    page.report('carol')
    answers[0]?.settle(null)
    expect((await nobody).data?.reason).toBe('missing')
    expect(signedOut).not.toHaveBeenCalled()
    const hers = refusalOf(client.me.query())
    await sent[1]?.promise
    page.signedIn = next
    page.report(next)
    answers[1]?.settle(null)
    expect((await hers).cause).toBeInstanceOf(UserChangedError)
  },
)

test('a client that nobody listens to any more stops watching, and asks for a token with its next call', async () => {
  await using api = await startTokenApi()
  const [watching, asked] = [{ now: 0 }, { times: 0 }]
  let signedIn = 'alice'
  const auth = bearerAuth({
    cache: true,
    getToken() {
      asked.times++
      return api.mint({ sub: signedIn })
    },
    subscribe() {
      watching.now++
      return () => watching.now--
    },
  })
  const client = createClient({ url: api.url, auth })
  const stop = auth.onUserChange(() => {})
  await client.me.query()
  expect([watching.now, asked.times]).toEqual([1, 1])
  stop()
  expect(watching.now).toBe(0)
  signedIn = 'bob'
  expect(await client.me.query()).toEqual({ id: 'bob' })
  expect([watching.now, asked.times]).toEqual([1, 2])
})

describe('forCurrentUser', () => {
  const left = { cause: expect.any(UserChangedError) }

  test.each<[string, (page: { report: Report; signedIn: string | null }, clear: () => void) => void]>([
    ['another user is reported', page => page.report('bob')],
    ['the session changes, of whom is not known yet', page => page.report(undefined)],
    ['clear() was called', (_, clear) => clear()],
    [
      'clear() was called and the user is reported',
      (page, clear) => {
        clear()
        page.report('bob')
      },
    ],
    ['a new token tells', page => page.report('alice')],
  ])('never calls as the next user, if %s', async (_, change) => {
    await using api = await startTokenApi()
    const { page, auth, client } = startPage({ url: api.url, mint: sub => api.mint({ sub }) })
    page.report('alice')
    const hers = createClient({ url: api.url, auth: auth.forCurrentUser() })
    expect(await hers.me.query()).toEqual({ id: 'alice' })
    page.signedIn = 'bob'
    change(page, auth.clear)
    expect(await refusalOf(hers.me.query())).toMatchObject(left)
    expect(await refusalOf(hers.health.query())).toMatchObject(left)
    expect(await client.me.query()).toEqual({ id: 'bob' })
    expect(api.requests.map(({ url }) => url.split('?')[0])).toEqual(['/trpc/me', '/trpc/me'])
  })

  test('never calls as the next user, if its user had no token yet', async () => {
    await using api = await startTokenApi()
    const { page, auth } = startPage({ url: api.url, mint: sub => api.mint({ sub }), isWatched: false })
    const hers = createClient({ url: api.url, auth: auth.forCurrentUser() })
    auth.clear()
    expect(page.changes).toBe(1)
    page.signedIn = 'bob'
    expect(await refusalOf(hers.me.query())).toMatchObject(left)
  })

  test('is told of the reported user, even if the first token was theirs already', async () => {
    await using api = await startTokenApi()
    const { page, auth } = startPage({ url: api.url, mint: sub => api.mint({ sub }) })
    page.report('alice')
    page.signedIn = 'bob'
    const hers = createClient({ url: api.url, auth: auth.forCurrentUser() })
    await hers.me.query()
    page.report(undefined)
    page.report('bob')
    expect(page.changes).toBe(1)
    expect(await refusalOf(hers.me.query())).toMatchObject(left)
  })

  test('of a page that nobody has signed in to calls as the user who signs in', async () => {
    await using api = await startTokenApi()
    const { page, auth } = startPage({ url: api.url, mint: sub => api.mint({ sub }) })
    page.signedIn = null
    page.report(null)
    const visitors = createClient({ url: api.url, auth: auth.forCurrentUser() })
    expect(await visitors.health.query()).toEqual({ ok: true })
    page.signedIn = 'bob'
    page.report('bob')
    expect(await visitors.me.query()).toEqual({ id: 'bob' })
    page.report('carol')
    expect(await refusalOf(visitors.me.query())).toMatchObject(left)
  })
})
