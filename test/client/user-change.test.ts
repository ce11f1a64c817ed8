import { describe, expect, test } from 'vitest'
import { bearerAuth, createClient } from '../../client/index.js'
import { refusalOf } from '../parts/api-error.js'
import { startTokenApi } from '../parts/token-api.js'

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
    page.report('bob')
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
