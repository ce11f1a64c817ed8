import { inspect } from 'node:util'
import { createTRPCClient, httpBatchLink } from '@trpc/client'
import { describe, expect, test, vi } from 'vitest'
import { bearerAuth, createClient, UserChangedError } from '../../client/index.js'
import type { AppRouter } from '../../server/index.js'
import { transformer } from '../../shared/index.js'
import { refusalOf } from '../parts/api-error.js'
import { later, startTokenApi, tokensOf } from '../parts/token-api.js'

const nobody = async () => null

/** A client and its `clear()`. `onAnswer` runs when an answer arrives, before it is read. */
function clearableClient(url: string, getToken: () => Promise<string | null>, onAnswer = () => {}) {
  const auth = bearerAuth({ cache: true, getToken })
  const terminating = httpBatchLink<AppRouter>({
    url,
    transformer,
    headers: auth.headers,
    fetch: (input, init) => fetch(input, init).finally(onAnswer),
  })
  return { clear: auth.clear, client: createTRPCClient<AppRouter>({ links: [auth.link, terminating] }) }
}

describe('nobody is signed in', () => {
  test('calls are refused as "missing", and onSignedOut is called once', async () => {
    await using api = await startTokenApi()
    const onSignedOut = vi.fn()
    const client = createClient({ url: api.url, cache: true, getToken: () => null, onSignedOut })
    const refusals = await Promise.all([refusalOf(client.me.query()), refusalOf(client.tasks.list.query())])
    expect(refusals.map(error => error.data?.reason)).toEqual(['missing', 'missing'])
    await refusalOf(client.me.query())
    expect(onSignedOut).toHaveBeenCalledOnce()
    expect(api.requests.map(request => request.token)).toEqual([undefined, undefined])
  })

  test('public procedures answer without onSignedOut', async () => {
    await using api = await startTokenApi()
    const onSignedOut = vi.fn()
    const client = createClient({ url: api.url, cache: true, getToken: () => null, onSignedOut })
    expect(await client.health.query()).toEqual({ ok: true })
    expect(onSignedOut).not.toHaveBeenCalled()
  })

  test('the answer of a public procedure in between does not call onSignedOut again', async () => {
    await using api = await startTokenApi()
    const onSignedOut = vi.fn()
    const client = createClient({ url: api.url, cache: true, getToken: () => null, onSignedOut })
    await refusalOf(client.me.query())
    await client.health.query()
    await refusalOf(client.me.query())
    expect(onSignedOut).toHaveBeenCalledOnce()
  })

  test('after a sign-in calls are answered, and the next sign-out calls onSignedOut again', async () => {
    await using api = await startTokenApi()
    const onSignedOut = vi.fn()
    const token = await api.mint({})
    const { getToken } = tokensOf(nobody, async () => token)
    const client = createClient({ url: api.url, cache: true, getToken, onSignedOut })
    await refusalOf(client.me.query())
    expect(await client.me.query()).toEqual({ id: 'alice' })
    api.revoked.add(token)
    await refusalOf(client.me.query())
    expect(onSignedOut).toHaveBeenCalledTimes(2)
  })
})

describe('an onSignedOut that throws', () => {
  const throwing = () => {
    throw new Error('The router is broken.')
  }
  test.each<[string, () => void]>([
    ['at once', throwing],
    ['later', async () => throwing()],
  ])('%s is reported, and the calls fail with their own error', async (_, onSignedOut) => {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {})
    await using api = await startTokenApi()
    const { getToken } = tokensOf(() => api.mint({ kid: 'other' }))
    const hook = vi.fn(onSignedOut)
    const client = createClient({ url: api.url, cache: true, getToken, onSignedOut: hook })
    const refusals = await Promise.all([refusalOf(client.me.query()), refusalOf(client.tasks.list.query())])
    expect(refusals.map(error => error.data?.reason)).toEqual(['unknown_key', 'unknown_key'])
    expect((await refusalOf(client.me.query())).data?.reason).toBe('unknown_key')
    expect(hook).toHaveBeenCalledOnce()
    expect(logged.mock.calls).toEqual([
      [
        'The onSignedOut option threw an error:',
        expect.objectContaining({ message: 'The router is broken.' }),
      ],
    ])
    const printed = JSON.stringify(logged.mock.calls)
    for (const { token = '' } of api.requests) expect(printed).not.toContain(token)
    logged.mockRestore()
  })
})

test('a refused call of one user does not sign out the next user', async () => {
  await using api = await startTokenApi()
  const onSignedOut = vi.fn()
  const alices = await api.mint({})
  api.revoked.add(alices)
  const auth = bearerAuth({ cache: true, getToken: () => alices, onSignedOut })
  const fetching: typeof fetch = (input, init) => fetch(input, init).finally(() => auth.clear())
  const client = createClient({ url: api.url, auth, fetch: fetching })
  expect((await refusalOf(client.me.query())).cause).toBeInstanceOf(UserChangedError)
  expect(onSignedOut).not.toHaveBeenCalled()
})

test('an onSignedOut that calls clear() is called once for parallel calls', async () => {
  await using api = await startTokenApi()
  const onSignedOut = vi.fn(() => auth.clear())
  const auth = bearerAuth({ cache: true, getToken: () => null, onSignedOut })
  const client = createClient({ url: api.url, auth })
  await Promise.all([refusalOf(client.me.query()), refusalOf(client.tasks.list.query())])
  expect(onSignedOut).toHaveBeenCalledOnce()
})

test('an outage of the issuer signs nobody out: afterwards the same token works', async () => {
  await using api = await startTokenApi()
  const onSignedOut = vi.fn()
  const { calls, getToken } = tokensOf(() => api.mint({}))
  const client = createClient({ url: api.url, cache: true, getToken, onSignedOut })
  api.keys.areAway = true
  const refusals = await Promise.all([refusalOf(client.me.query()), refusalOf(client.tasks.list.query())])
  expect(refusals.map(error => error.data)).toMatchObject(
    refusals.map(() => ({ code: 'SERVICE_UNAVAILABLE', reason: 'keys_unavailable' })),
  )
  expect(api.requests).toHaveLength(1)
  api.keys.areAway = false
  expect(await client.me.query()).toEqual({ id: 'alice' })
  expect(calls.count).toBe(1)
  expect(onSignedOut).not.toHaveBeenCalled()
})

describe('getToken rejects', () => {
  test('the call rejects with that error, without a request, and nobody is signed out', async () => {
    await using api = await startTokenApi()
    const onSignedOut = vi.fn()
    const offline = new Error('The session could not be asked.')
    const client = createClient({
      url: api.url,
      cache: true,
      getToken: () => Promise.reject(offline),
      onSignedOut,
    })
    const error = await refusalOf(client.me.query())
    expect([error.message, error.cause]).toEqual([offline.message, offline])
    expect(api.requests).toEqual([])
    expect(onSignedOut).not.toHaveBeenCalled()
  })

  test('in a renewal too', async () => {
    await using api = await startTokenApi()
    const onSignedOut = vi.fn()
    const offline = new Error('The session could not be asked.')
    const { getToken } = tokensOf(
      () => api.mint({ kid: 'removed' }),
      () => Promise.reject(offline),
    )
    const client = createClient({ url: api.url, cache: true, getToken, onSignedOut })
    const error = await refusalOf(client.me.query())
    expect([error.message, error.cause]).toEqual([offline.message, offline])
    expect(api.requests).toHaveLength(1)
    expect(onSignedOut).not.toHaveBeenCalled()
  })

  test('the next call asks again', async () => {
    await using api = await startTokenApi()
    const { calls, getToken } = tokensOf(
      () => Promise.reject(new Error('offline')),
      () => api.mint({}),
    )
    const client = createClient({ url: api.url, cache: true, getToken })
    await refusalOf(client.me.query())
    expect(await client.me.query()).toEqual({ id: 'alice' })
    expect(calls.count).toBe(2)
  })
})

test.each([null, undefined, ''])('if getToken returns %j, nobody is signed in', async answer => {
  await using api = await startTokenApi()
  const client = createClient({
    url: api.url,
    cache: true,
    getToken: () => Reflect.get({ answer }, 'answer'),
  })
  const { data } = await refusalOf(client.me.query())
  expect(data?.reason).toBe('missing')
  expect(api.requests[0]?.token).toBeUndefined()
})

describe('a getToken result that is not a token', () => {
  const secret = 'SECRETSECRET'
  const answers: object[] = [
    `a.${secret}\nx`,
    `a.${secret}\u201c`,
    `Bearer a.${secret}`,
    ` ${secret}`,
    `${secret}\0`,
    5,
    {},
  ].map(answer => ({ answer }))
  test.each(answers)('is an error that does not quote it: %j', async given => {
    await using api = await startTokenApi()
    const client = createClient({ url: api.url, cache: true, getToken: () => Reflect.get(given, 'answer') })
    const error = await refusalOf(client.me.query())
    expect(error.message).toMatch(/^getToken returned something that is not a token \(RFC 6750\)\. /)
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain(secret)
    expect(api.requests).toEqual([])
  })
})

describe('clear', () => {
  test("forgets the token: the next call uses the next user's token", async () => {
    await using api = await startTokenApi()
    const { getToken } = tokensOf(
      () => api.mint({ sub: 'alice' }),
      () => api.mint({ sub: 'bob' }),
    )
    const { client, clear } = clearableClient(api.url, getToken)
    expect(await client.me.query()).toEqual({ id: 'alice' })
    clear()
    expect(await client.me.query()).toEqual({ id: 'bob' })
  })

  test('forgets a token that is being fetched: no request sends it', async () => {
    await using api = await startTokenApi()
    const [asked, late] = [later<null>(), later<string>()]
    let signedIn: () => Promise<string | null> = () => {
      asked.settle(null)
      return late.promise
    }
    const { client, clear } = clearableClient(api.url, () => signedIn())
    const refusal = refusalOf(client.me.query())
    await asked.promise
    signedIn = nobody
    clear()
    const alices = await api.mint({ sub: 'alice' })
    late.settle(alices)
    expect((await refusal).cause).toBeInstanceOf(UserChangedError)
    signedIn = () => api.mint({ sub: 'bob' })
    expect(await client.me.query()).toEqual({ id: 'bob' })
    expect(api.requests.map(request => request.token)).not.toContain(alices)
  })

  test('a call of one user is not repeated as the next user', async () => {
    await using api = await startTokenApi()
    const { getToken } = tokensOf(
      () => api.mint({ kid: 'removed' }),
      () => api.mint({ sub: 'bob' }),
    )
    const { client, clear } = clearableClient(api.url, getToken, () => clear())
    const call = client.me.query().then(
      user => user.id,
      () => 'refused',
    )
    expect(await call).toBe('refused')
    expect(api.requests).toHaveLength(1)
  })
})

describe('a new token of another person, who signed in in another tab', () => {
  const changed = { cause: expect.any(UserChangedError) }

  test('fails the call that needs it, and onSignedOut is called once', async () => {
    await using api = await startTokenApi()
    const onSignedOut = vi.fn()
    const { calls, getToken } = tokensOf(
      () => api.mint({ sub: 'alice', life: 0 }),
      () => api.mint({ sub: 'bob' }),
    )
    const client = createClient({ url: api.url, cache: true, getToken, onSignedOut })
    expect(await client.me.query()).toEqual({ id: 'alice' })
    const refusals = await Promise.all([
      refusalOf(client.me.query()),
      refusalOf(client.tasks.create.mutate({ title: 'milk' })),
    ])
    expect(refusals).toMatchObject([changed, changed])
    expect(onSignedOut).toHaveBeenCalledOnce()
    expect(api.requests).toHaveLength(1)
    expect(calls.count).toBe(2)
  })

  test('does not repeat a call that was refused', async () => {
    await using api = await startTokenApi()
    const onSignedOut = vi.fn()
    const { getToken } = tokensOf(
      () => api.mint({ sub: 'alice', kid: 'removed' }),
      () => api.mint({ sub: 'bob' }),
    )
    const client = createClient({ url: api.url, cache: true, getToken, onSignedOut })
    expect(await refusalOf(client.me.query())).toMatchObject(changed)
    expect(onSignedOut).toHaveBeenCalledOnce()
    expect(api.requests).toHaveLength(1)
  })

  test('is noticed after a while in which nobody was signed in, if no call was refused', async () => {
    await using api = await startTokenApi()
    const { getToken } = tokensOf(
      () => api.mint({ sub: 'alice', life: 0 }),
      nobody,
      () => api.mint({ sub: 'bob' }),
    )
    const client = createClient({ url: api.url, cache: true, getToken })
    await client.me.query()
    expect(await client.health.query()).toEqual({ ok: true })
    expect(await refusalOf(client.me.query())).toMatchObject(changed)
  })

  test.each<[string, (signOut: () => void) => void]>([
    ['is used by the next call', () => {}],
    ['is used by the next call after clear()', clear => clear()],
  ])('%s', async (_, signOut) => {
    await using api = await startTokenApi()
    const { getToken } = tokensOf(
      () => api.mint({ sub: 'alice', life: 0 }),
      () => api.mint({ sub: 'bob' }),
    )
    const auth = bearerAuth({ cache: true, getToken, onSignedOut: () => signOut(auth.clear) })
    const client = createClient({ url: api.url, auth })
    await client.me.query()
    await refusalOf(client.me.query())
    expect(await client.me.query()).toEqual({ id: 'bob' })
  })

  test('does not repeat a call that is refused late, after the sign-out of its user was reported', async () => {
    await using api = await startTokenApi()
    const { getToken } = tokensOf(
      () => api.mint({ sub: 'alice', kid: 'removed' }),
      nobody,
      () => api.mint({ sub: 'bob' }),
    )
    const [late, arrived] = [later<null>(), later<null>()]
    const client = createClient({
      url: api.url,
      cache: true,
      getToken,
      async fetch(input, init) {
        const response = await fetch(input, init)
        if (init?.method === 'POST') {
          arrived.settle(null)
          await late.promise
        }
        return response
      },
    })
    const mutation = refusalOf(client.tasks.create.mutate({ title: 'pay mallory' }))
    await refusalOf(client.me.query())
    expect(await client.me.query()).toEqual({ id: 'bob' })
    await arrived.promise
    late.settle(null)
    expect(await mutation).toMatchObject(changed)
    expect(api.requests.filter(({ url }) => url.includes('tasks.create'))).toHaveLength(1)
  })

  test('is no surprise after onSignedOut was called', async () => {
    await using api = await startTokenApi()
    const { getToken } = tokensOf(
      () => api.mint({ sub: 'alice', life: 0 }),
      nobody,
      () => api.mint({ sub: 'bob' }),
    )
    const client = createClient({ url: api.url, cache: true, getToken })
    await client.me.query()
    expect((await refusalOf(client.me.query())).data?.reason).toBe('missing')
    expect(await client.me.query()).toEqual({ id: 'bob' })
  })
})

test('opaque tokens are not compared', async () => {
  await using api = await startTokenApi()
  const tokens = ['first', 'second', 'a.bnVsbA.c']
  const onSignedOut = vi.fn()
  const client = createClient({ url: api.url, cache: true, getToken: () => tokens.shift(), onSignedOut })
  for (const _ of [1, 2]) expect((await refusalOf(client.me.query())).data?.reason).toBe('malformed')
  expect(api.requests.map(({ token }) => token)).toEqual(['first', 'second', 'a.bnVsbA.c'])
  expect(onSignedOut).toHaveBeenCalledOnce()
})
