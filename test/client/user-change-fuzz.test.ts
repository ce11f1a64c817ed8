import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { bearerAuth, createClient } from '../../client/index.js'

/** A repeatable source of random numbers. */
function randomOf(seed: number) {
  let state = seed
  return (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
}

const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
const now = () => Math.floor(Date.now() / 1_000)
const tokenOf = (sub: string) =>
  `e30.${base64({ iss: 'i', sub, iat: now(), exp: now() + 900, jti: crypto.randomUUID() })}.x`
const subOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sub
const refusal = (reason: string) => ({
  error: {
    json: { message: reason, code: -32_001, data: { code: 'UNAUTHORIZED', httpStatus: 401, reason } },
  },
})

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const runs = process.env.LONG_TESTS ? (process.env.CASES === 'some' ? 200 : 800) : 60

test('a page of one user never calls as another, whatever changes while its calls wait, run and are refused', async () => {
  const wrong: string[] = []
  let [made, settled] = [0, 0]
  for (let seed = 1; seed <= runs; seed++) {
    const random = randomOf(seed)
    const sleep = (most: number) => new Promise(done => setTimeout(done, random(most)))
    const isWatched = random(3) > 0
    const idOf = random(3) === 0 ? (user: string) => `${user}@example.com` : (user: string) => user
    let signedIn: string | null = 'alice'
    let report = (_: string | null | undefined) => {}
    const auth = bearerAuth({
      cache: true,
      async getToken() {
        const user = signedIn
        await sleep(40)
        if (random(30) === 0) throw new Error('The issuer is away.')
        return user && tokenOf(idOf(user))
      },
      ...(isWatched && {
        subscribe(listen: typeof report) {
          report = listen
          listen(signedIn)
          return () => {}
        },
      }),
    })
    /** Whose token the page's first call has sent. */
    const pages: { user: string | undefined }[] = []
    const mount = () => {
      const page = { user: undefined as string | undefined }
      pages.push(page)
      return createClient({
        url: 'http://api.example.com/trpc',
        auth: auth.forCurrentUser(),
        async fetch(input, init) {
          const token = new Headers(init?.headers).get('authorization')?.slice('Bearer '.length)
          const user = token && subOf(token)
          page.user ??= user
          if (user && user !== page.user)
            wrong.push(`seed ${seed}: the page of ${page.user} called as ${user}`)
          await sleep(60)
          const isRefused = !user || random(8) === 0
          const reason = ['expired', 'revoked', 'unknown_key'][random(3)] ?? ''
          const calls = new URL(String(input)).pathname.split(',')
          return Response.json(
            calls.map(() => (isRefused ? refusal(reason) : { result: { data: { json: 1 } } })),
          )
        },
      })
    }
    let client = mount()
    auth.onUserChange(() => {
      client = mount()
    })
    const call = (page: typeof client) => {
      made++
      const running = random(2) === 0 ? page.me.query() : page.tasks.clearCompleted.mutate()
      running.catch(() => {}).finally(() => settled++)
    }
    for (let step = 0; step < 25; step++) {
      const former = client
      if (random(4) > 0) call(client)
      else setTimeout(() => call(former), random(300))
      if (random(4) === 0) {
        signedIn = ['alice', 'bob', null][random(3)] ?? null
        const isAnnounced = random(2) === 0
        if (isWatched && isAnnounced) report(undefined)
        if (isWatched) setTimeout(() => report(signedIn), random(50))
        else if (random(2) === 0) auth.clear()
      }
      await vi.advanceTimersByTimeAsync(random(80))
    }
    await vi.advanceTimersByTimeAsync(60_000)
  }
  expect(wrong).toEqual([])
  expect(settled).toBe(made)
})
