import { setTimeout as sleep } from 'node:timers/promises'
import { createTRPCClient, httpBatchLink, httpBatchStreamLink, httpLink, type TRPCLink } from '@trpc/client'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { bearerAuth, createClient } from '../../client/index.js'
import type { AppRouter } from '../../server/index.js'
import { transformer } from '../../shared/index.js'
import { refusalOf } from '../parts/api-error.js'
import { startTokenApi, tokensOf } from '../parts/token-api.js'
import { waitFor } from '../parts/wait-for.js'

const noon = new Date('2030-06-01T12:00:00Z')

/** Fakes only the clock: sockets keep their timers. */
function stopTheClock() {
  vi.useFakeTimers({ toFake: ['Date'], now: noon })
}
const secondsAfterNoon = (seconds: number) => vi.setSystemTime(noon.getTime() + seconds * 1000)
afterEach(() => vi.useRealTimers())

describe('a valid token', () => {
  test('is fetched once for many calls at once, and not again before it expires', async () => {
    await using api = await startTokenApi()
    const { calls, getToken } = tokensOf(() => api.mint({}))
    const client = createClient({ url: api.url, cache: true, getToken })
    await Promise.all(Array.from({ length: 120 }, () => client.me.query()))
    await client.me.query()
    expect(calls).toMatchObject({ count: 1, most: 1 })
  })

  test('is renewed 30 seconds before it expires', async () => {
    stopTheClock()
    await using api = await startTokenApi()
    const { calls, getToken } = tokensOf(() => api.mint({ life: 900 }))
    const client = createClient({ url: api.url, cache: true, getToken })
    await client.me.query()
    secondsAfterNoon(869)
    await client.me.query()
    expect(calls.count).toBe(1)
    secondsAfterNoon(870)
    await Promise.all([client.me.query(), client.me.query()])
    expect(calls).toMatchObject({ count: 2, most: 1 })
    const [first, second, third] = api.requests.map(request => request.token)
    expect(second).toBe(first)
    expect(third).not.toBe(first)
  })

  test('that lives 30 seconds is renewed after 20 seconds', async () => {
    stopTheClock()
    await using api = await startTokenApi()
    const { calls, getToken } = tokensOf(() => api.mint({ life: 30 }))
    const client = createClient({ url: api.url, cache: true, getToken })
    await client.me.query()
    secondsAfterNoon(19)
    await client.me.query()
    expect(calls.count).toBe(1)
    secondsAfterNoon(20)
    await client.me.query()
    expect(calls.count).toBe(2)
  })

  test('is sent only in the header, never in a URL', async () => {
    await using api = await startTokenApi()
    const { getToken } = tokensOf(
      () => api.mint({ kid: 'other' }),
      () => api.mint({}),
    )
    const client = createClient({ url: api.url, cache: true, getToken })
    await Promise.all([client.me.query(), client.health.query()])
    await refusalOf(client.tasks.create.mutate({ title: '' }))
    expect(api.requests).toHaveLength(3)
    for (const { url, token } of api.requests) {
      expect(token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/)
      for (const part of token?.split('.') ?? []) expect(url).not.toContain(part)
    }
  })
})

describe('a token that is refused', () => {
  test('because it has just expired is renewed once automatically', async () => {
    stopTheClock()
    await using api = await startTokenApi()
    const { calls, getToken } = tokensOf(() => api.mint({ life: 60 }))
    const onTheWay = [() => secondsAfterNoon(120)]
    const client = createClient({
      url: api.url,
      cache: true,
      getToken,
      fetch(input, init) {
        onTheWay.pop()?.()
        return fetch(input, init)
      },
    })
    expect(await client.me.query()).toEqual({ id: 'alice' })
    expect(calls).toMatchObject({ count: 2, most: 1 })
    expect(api.requests).toHaveLength(2)
  })

  test('because its key was removed is renewed before it expires', async () => {
    await using api = await startTokenApi()
    const { calls, getToken } = tokensOf(
      () => api.mint({ kid: 'removed' }),
      () => api.mint({}),
    )
    const client = createClient({ url: api.url, cache: true, getToken })
    expect(await client.me.query()).toEqual({ id: 'alice' })
    expect(calls.count).toBe(2)
    expect(api.requests).toHaveLength(2)
  })

  test('again after the renewal fails the call: it is repeated at most once', async () => {
    await using api = await startTokenApi()
    const { calls, getToken } = tokensOf(() => api.mint({ kid: 'removed' }))
    const onSignedOut = vi.fn()
    const client = createClient({ url: api.url, cache: true, getToken, onSignedOut })
    const { data } = await refusalOf(client.me.query())
    expect(data?.reason).toBe('unknown_key')
    expect(calls.count).toBe(2)
    expect(api.requests).toHaveLength(2)
    expect(onSignedOut).toHaveBeenCalledOnce()
  })

  test('because it was revoked is not renewed, and the call is not repeated', async () => {
    await using api = await startTokenApi()
    const { calls, getToken } = tokensOf(async () => {
      const token = await api.mint({})
      api.revoked.add(token)
      return token
    })
    const onSignedOut = vi.fn()
    const client = createClient({ url: api.url, cache: true, getToken, onSignedOut })
    const { data } = await refusalOf(client.me.query())
    expect(data?.reason).toBe('revoked')
    expect(calls.count).toBe(1)
    expect(api.requests).toHaveLength(1)
    expect(onSignedOut).toHaveBeenCalledOnce()
  })

  test('is renewed once for all calls that wait', async () => {
    await using api = await startTokenApi()
    const { calls, getToken } = tokensOf(
      () => api.mint({ kid: 'removed' }),
      () => api.mint({}),
    )
    const client = createClient({ url: api.url, cache: true, getToken })
    const answers = await Promise.all([
      ...Array.from({ length: 60 }, () => client.me.query()),
      new Promise(done => setTimeout(done, 10)).then(() => client.me.query()),
    ])
    expect(answers).toEqual(Array.from({ length: 61 }, () => ({ id: 'alice' })))
    expect(calls).toMatchObject({ count: 2, most: 1 })
  })
})

test('a token that is not valid yet, because the clock of the issuer is ahead, is sent again later and signs nobody out', async () => {
  await using api = await startTokenApi()
  const onSignedOut = vi.fn()
  // Times in tokens are whole seconds: near the end of one the token would be valid at once.
  await sleep(1_000 - (Date.now() % 1_000))
  const token = await api.mint({ ahead: 6 })
  const { calls, getToken } = tokensOf(async () => token)
  const client = createClient({ url: api.url, cache: true, getToken, onSignedOut })
  expect(await client.me.query()).toEqual({ id: 'alice' })
  expect(api.requests.map(request => request.token)).toEqual([token, token])
  expect(calls.count).toBe(1)
  expect(onSignedOut).not.toHaveBeenCalled()
})

test('a token that stays invalid fails the call after four attempts more, and signs nobody out', async () => {
  await using api = await startTokenApi()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const onSignedOut = vi.fn()
  const client = createClient({
    url: api.url,
    getToken: () => api.mint({ ahead: 3_600 }),
    onSignedOut,
    cache: true,
  })
  const refusal = refusalOf(client.me.query())
  for (const attempts of [1, 2, 3, 4, 5]) {
    await waitFor(async () => {
      await vi.advanceTimersByTimeAsync(500)
      expect(api.requests).toHaveLength(attempts)
    })
  }
  expect((await refusal).data?.reason).toBe('not_yet_valid')
  expect(onSignedOut).not.toHaveBeenCalled()
})

const links = [
  ['httpBatchLink', httpBatchLink<AppRouter>, { refused: 1, repeated: 1 }],
  ['httpBatchStreamLink', httpBatchStreamLink<AppRouter>, { refused: 1, repeated: 1 }],
  ['httpLink', httpLink<AppRouter>, { refused: 3, repeated: 3 }],
] as const

describe.each(links)(
  'your own chain of links that ends in %s',
  (_, terminatingLink, { refused, repeated }) => {
    async function start() {
      const api = await startTokenApi()
      const { calls, getToken } = tokensOf(
        () => api.mint({ kid: 'removed' }),
        () => api.mint({}),
      )
      const auth = bearerAuth({ cache: true, getToken })
      const options = { url: api.url, transformer, headers: auth.headers }
      const client = createTRPCClient<AppRouter>({ links: [auth.link, terminatingLink(options)] })
      const paths = () => api.requests.map(({ url }) => url.split('?')[0] ?? '')
      return { calls, client, paths, requests: api.requests, [Symbol.asyncDispose]: api[Symbol.asyncDispose] }
    }

    test('three calls that are refused together need one renewal and are repeated together', async () => {
      await using api = await start()
      const call = () => api.client.me.query()
      expect(await Promise.all([call(), call(), call()])).toEqual(
        Array.from({ length: 3 }, () => ({ id: 'alice' })),
      )
      expect(api.calls).toMatchObject({ count: 2, most: 1 })
      expect(api.requests).toHaveLength(refused + repeated)
    })

    test('only the failed calls of a batch are repeated', async () => {
      await using api = await start()
      const { client } = api
      const answers = await Promise.all([client.health.query(), client.me.query(), client.health.query()])
      expect(answers).toEqual([{ ok: true }, { id: 'alice' }, { ok: true }])
      expect(api.paths().slice(0, refused).join()).toBe(
        refused === 1 ? '/trpc/health,me,health' : '/trpc/health,/trpc/me,/trpc/health',
      )
      expect(api.paths().slice(refused)).toEqual(['/trpc/me'])
    })

    test('a refused mutation runs once, with the new token', async () => {
      await using api = await start()
      const { data } = await refusalOf(api.client.tasks.create.mutate({ title: '' }))
      expect(data?.fields).toHaveProperty('title')
      expect(api.paths()).toEqual(['/trpc/tasks.create', '/trpc/tasks.create'])
      expect(new Set(api.requests.map(request => request.token)).size).toBe(2)
    })
  },
)

test('an error that the next link throws is the error of the call', async () => {
  const auth = bearerAuth({ getToken: () => null })
  const next: TRPCLink<AppRouter> = () => () => {
    throw new Error('No subscriptions here.')
  }
  const api = createTRPCClient<AppRouter>({ links: [auth.link, next] })
  await expect(api.health.query()).rejects.toThrow('No subscriptions here.')
})
