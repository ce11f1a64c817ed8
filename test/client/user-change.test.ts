import { describe, expect, test } from 'vitest'
import { bearerAuth, createClient, UserChangedError } from '../../client/index.js'
import { refusalOf } from '../parts/api-error.js'
import { startTokenApi } from '../parts/token-api.js'
import { waitFor } from '../parts/wait-for.js'

type Report = (userId: string | null | undefined) => void

/** A page with a session, and how often it was told of another user. */
function startPage(options: { url: string; mint: (sub: string) => Promise<string>; isWatched?: boolean }) {
  const { url, mint, isWatched = true } = options
  const page = { signedIn: 'alice' as string | null, changes: 0, report: (() => {}) as Report }
  const auth = bearerAuth({
    cache: true,
    getToken: async () => (page.signedIn === null ? null : mint(page.signedIn)),
    ...(isWatched && {
      subscribe: (report: Report) => {
        page.report = report
        return () => {}
      },
    }),
  })
  const stop = auth.onUserChange(() => page.changes++)
  return { page, auth, stop, client: createClient({ url, auth }) }
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

describe('forCurrentUser', () => {
  const left = { cause: expect.any(UserChangedError) }

  test.each<[string, (page: { report: Report; signedIn: string | null }, clear: () => void) => void]>([
    ['another user is reported', page => page.report('bob')],
    ['the session changes, of whom is not known yet', page => page.report(undefined)],
    ['clear() was called', (_, clear) => clear()],
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
