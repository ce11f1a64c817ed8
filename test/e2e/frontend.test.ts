import { setTimeout as sleep } from 'node:timers/promises'
import { createAuthClient } from 'better-auth/client'
import { jwtClient } from 'better-auth/client/plugins'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { bearerAuth, betterAuthToken, createClient } from '../../client/index.js'
import { connect } from '../../examples/frontend/api.js'
import { startApp } from '../parts/app.js'

/** Does what a browser does and Node's fetch does not: keeps the issuer's cookies, and sends them and the origin. */
function browserFetch(): typeof fetch {
  const { fetch } = globalThis
  const jar = new Map<string, string>()
  return async (input, init) => {
    const request = new Request(input, init)
    request.headers.set('origin', new URL(request.url).origin)
    if (new URL(request.url).pathname.startsWith('/api/auth/')) {
      request.headers.set('cookie', [...jar].map(pair => pair.join('=')).join('; '))
    }
    const response = await fetch(request)
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      jar.set(name, value)
    }
    return response
  }
}

let app: Awaited<ReturnType<typeof startApp>>
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app[Symbol.asyncDispose]())

beforeEach(() => {
  vi.stubGlobal('fetch', browserFetch())
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

test('the frontend of the README signs up and reads its own tasks', async () => {
  const { authClient, api } = connect(app.url, app.url)
  const email = `${crypto.randomUUID()}@example.com`
  const { data } = await authClient.signUp.email({ name: 'Alice', email, password: crypto.randomUUID() })
  await api.tasks.create.mutate({ title: 'milk' })
  expect(await api.me.query()).toEqual({ id: data?.user.id, email, name: 'Alice' })
  expect((await api.tasks.list.query()).items).toMatchObject([{ title: 'milk' }])
})

test('the frontend of the README signs out, and the next user does not get the former token', async () => {
  const { authClient, api, signOut } = connect(app.url, app.url)
  vi.spyOn(console, 'log').mockImplementation(() => {})
  const signUp = async (name: string) => {
    const email = `${crypto.randomUUID()}@example.com`
    await authClient.signUp.email({ name, email, password: crypto.randomUUID() })
  }
  await signUp('Alice')
  expect((await api.me.query()).name).toBe('Alice')
  await signOut()
  await expect(api.me.query()).rejects.toMatchObject({ data: { reason: 'missing' } })
  await signUp('Bob')
  expect((await api.me.query()).name).toBe('Bob')
})

test('somebody else signs in, and no call runs as the former user, though the session is fetched slowly', async () => {
  const slow = browserFetch()
  const authClient = createAuthClient({
    baseURL: app.url,
    plugins: [jwtClient()],
    fetchOptions: {
      customFetchImpl: async (input, init) => {
        if (String(input).includes('/get-session')) await sleep(500)
        return slow(input, init)
      },
    },
  })
  const signUp = async (name: string) => {
    const email = `${crypto.randomUUID()}@example.com`
    await authClient.signUp.email({ name, email, password: crypto.randomUUID() })
  }
  await signUp('Alice')
  const auth = bearerAuth({ getToken: betterAuthToken(authClient), cache: true })
  const api = createClient({ url: `${app.url}/trpc`, auth })
  expect((await api.me.query()).name).toBe('Alice')
  // A session of Alice that arrives after Bob's sign-in would look like a second change of the user.
  await new Promise<void>(known => {
    authClient.useSession.subscribe(({ data }) => data && known())
  })
  await signUp('Bob')
  const names = []
  for (let n = 0; n < 12; n++)
    names.push(
      await api.me.query().then(
        ({ name }) => name,
        ({ cause }) => cause.name,
      ),
    )
  await sleep(600)
  names.push((await api.me.query()).name)
  expect(names).toEqual(Array(13).fill('Bob'))
})

test('the frontend of the README notices that nobody is signed in', async () => {
  const { api } = connect(app.url, app.url)
  const told = vi.spyOn(console, 'log').mockImplementation(() => {})
  await expect(api.me.query()).rejects.toMatchObject({ data: { reason: 'missing' } })
  expect(told).toHaveBeenCalledExactlyOnceWith('Signed out: show the sign-in page.')
})

test.each([
  [{ data: { token: 'a.b.c' }, error: null }, 'a.b.c'],
  [{ data: null, error: { status: 401, statusText: 'Unauthorized' } }, null],
])('Better Auth answering %j gives the token %j', async (answer, token) => {
  expect(await betterAuthToken({ token: async () => answer })()).toBe(token)
})

test('an outage of Better Auth is an error, not a sign-out', async () => {
  const answer = { data: null, error: { status: 429, statusText: 'Too Many Requests' } }
  await expect(betterAuthToken({ token: async () => answer })()).rejects.toThrow(
    'Better Auth returned no token (429',
  )
})
