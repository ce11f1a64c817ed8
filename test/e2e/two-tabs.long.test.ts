import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startApp } from '../parts/app.js'
import { servePage, startBrowser } from '../parts/browser.js'
import { freePort } from '../parts/listen.js'

/** A page of a frontend. The test calls its functions. */
const script = (origin: string) => `
  import { createAuthClient } from 'better-auth/client'
  import { jwtClient } from 'better-auth/client/plugins'
  import { betterAuthToken, createClient } from 'trpc-bearer/client'

  const authClient = createAuthClient({ baseURL: '${origin}', plugins: [jwtClient()] })
  const api = createClient({ url: '${origin}/trpc', getToken: betterAuthToken(authClient) })
  const outcome = call => call.catch(error => error.cause?.name ?? error.data?.reason ?? error.message)
  const page = {
    shown: 'unknown',
    signUp: name =>
      authClient.signUp.email({ name, email: name + crypto.randomUUID() + '@example.com', password: 'correct horse' }),
    signOut: () => authClient.signOut(),
    me: () => outcome(api.me.query().then(user => user.name)),
    create: title => outcome(api.tasks.create.mutate({ title }).then(task => task.title)),
  }
  authClient.useSession.subscribe(({ data, isPending }) => {
    if (!isPending) page.shown = data?.user.name ?? 'nobody'
  })
  Object.assign(globalThis, { page })`

/** What runs in the page. */
const call = (tab: Page, expression: string) => tab.evaluate<string>(`page.${expression}`)
const shows = (tab: Page, name: string) => tab.waitForFunction(`globalThis.page?.shown === '${name}'`)

const parts: AsyncDisposable[] = []
function use<T extends AsyncDisposable>(part: T): T {
  parts.unshift(part)
  return part
}

let first: Page
let second: Page
beforeAll(async () => {
  const [port, webPort] = [await freePort(), await freePort()]
  // The same host as the API: the cookie of the session is of one site.
  const page = `http://localhost:${webPort}`
  const app = use(await startApp('embedded', { PORT: String(port), CORS_ORIGINS: page }))
  use(await servePage(script(app.url), webPort))
  const { browser } = use(await startBrowser())
  const context = await browser.newContext()
  ;[first, second] = [await context.newPage(), await context.newPage()]
  for (const tab of [first, second]) await tab.goto(page)
})
afterAll(async () => {
  for (const part of parts) await part[Symbol.asyncDispose]()
})

test('a tab never acts as the person who has signed out in another tab', async () => {
  await call(first, "signUp('alice')")
  await shows(first, 'alice')
  await second.reload()
  await shows(second, 'alice')
  expect(await call(second, 'me()')).toBe('alice')

  // The answer to a call of Alice is on its way when she signs out in the other tab.
  let arrive = () => {}
  const arrived = new Promise<void>(done => {
    arrive = done
  })
  await second.route(/tasks\.create/, async route => {
    const response = await route.fetch()
    arrive()
    await shows(second, 'nobody')
    await route.fulfill({ response }).catch(() => {})
  })
  const running = call(second, "create('hers')")
  await arrived
  await call(first, 'signOut()')
  await shows(second, 'nobody')
  expect(await running).toBe('UserChangedError')
  expect(await call(second, 'me()')).toBe('missing')

  await call(first, "signUp('bob')")
  await shows(first, 'bob')
  expect(await call(first, 'me()')).toBe('bob')
  expect(await call(second, 'me()')).toBe('bob')
  await second.reload()
  await shows(second, 'bob')
  expect(await call(second, 'me()')).toBe('bob')
})

test('a tab that shows the next person acts as them', async () => {
  await call(first, "signUp('carol')")
  await shows(first, 'carol')
  expect(await call(first, 'me()')).toBe('carol')
  // As when the tab gets the focus.
  await second.evaluate('document.dispatchEvent(new Event("visibilitychange"))')
  await shows(second, 'carol')
  expect(await call(second, 'me()')).toBe('carol')
})
