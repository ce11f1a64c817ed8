import { AsyncLocalStorage } from 'node:async_hooks'
import { createTRPCClient, httpBatchLink, httpLink } from '@trpc/client'
import { describe, expect, test } from 'vitest'
import { bearerAuth, createClient } from '../../client/index.js'
import type { AppRouter } from '../../server/index.js'
import { transformer } from '../../shared/index.js'
import { refusalOf } from '../parts/api-error.js'
import { startTokenApi } from '../parts/token-api.js'

/** Who the server renders a page for, as `cookies()` of Next.js tells. */
const requests = new AsyncLocalStorage<string>()

describe('one client of a server that renders pages for several people', () => {
  test('calls the API as the person of the current request, also when requests overlap', async () => {
    await using api = await startTokenApi()
    const client = createClient({
      url: api.url,
      getToken: () => api.mint({ sub: requests.getStore() ?? 'nobody' }),
    })
    const page = (name: string) =>
      requests.run(name, async () => [await client.me.query(), await client.me.query()])
    const names = ['alice', 'bob', 'carol', 'alice']
    expect(await Promise.all(names.map(page))).toEqual(names.map(id => [{ id }, { id }]))
  })

  test('keeps no token of somebody who has signed out', async () => {
    await using api = await startTokenApi()
    const tokens: (string | null)[] = [await api.mint({}), null]
    const client = createClient({ url: api.url, getToken: () => tokens.shift() })
    expect(await client.me.query()).toEqual({ id: 'alice' })
    expect((await refusalOf(client.me.query())).data?.reason).toBe('missing')
  })

  test('renews a refused token as the same person', async () => {
    await using api = await startTokenApi()
    const asked = new Map<string, number>()
    const client = createClient({
      url: api.url,
      getToken() {
        const sub = requests.getStore() ?? 'nobody'
        const count = asked.get(sub) ?? 0
        asked.set(sub, count + 1)
        return api.mint({ sub, kid: count === 0 ? 'removed' : 'known' })
      },
    })
    const names = ['alice', 'bob']
    const people = await Promise.all(names.map(name => requests.run(name, () => client.me.query())))
    expect(people).toEqual(names.map(id => ({ id })))
    expect([...asked.values()]).toEqual([2, 2])
  })
})

describe('your own chain of links on a server', () => {
  async function startChain(end: 'httpBatchLink' | 'httpLink') {
    const api = await startTokenApi()
    const tokens = new Map<string, string>()
    for (const sub of ['alice', 'bob']) tokens.set(sub, await api.mint({ sub }))
    const auth = bearerAuth({ getToken: () => tokens.get(requests.getStore() ?? '') })
    const options = { url: api.url, transformer, headers: auth.headers }
    const last = end === 'httpLink' ? httpLink<AppRouter>(options) : httpBatchLink<AppRouter>(options)
    const client = createTRPCClient<AppRouter>({ links: [auth.link, last] })
    return { ...api, as: (name: string) => requests.run(name, () => client.me.query()) }
  }

  test('sends no batch with calls of different people, and says what to use', async () => {
    await using api = await startChain('httpBatchLink')
    const refusals = await Promise.all([refusalOf(api.as('alice')), refusalOf(api.as('bob'))])
    for (const { message } of refusals) expect(message).toMatch(/different people.*httpLink/)
    expect(api.requests).toEqual([])
  })

  test('sends no batch with a call of a visitor and one of somebody signed in', async () => {
    await using api = await startChain('httpBatchLink')
    const refusals = await Promise.all([refusalOf(api.as('visitor')), refusalOf(api.as('bob'))])
    for (const { message } of refusals) expect(message).toMatch(/different people.*httpLink/)
    expect(api.requests).toEqual([])
  })

  test('sends a batch with calls of one person', async () => {
    await using api = await startChain('httpBatchLink')
    expect(await Promise.all([api.as('alice'), api.as('alice')])).toEqual([{ id: 'alice' }, { id: 'alice' }])
    expect(api.requests).toHaveLength(1)
  })

  test('serves everybody with httpLink', async () => {
    await using api = await startChain('httpLink')
    expect(await Promise.all([api.as('alice'), api.as('bob')])).toEqual([{ id: 'alice' }, { id: 'bob' }])
  })
})
