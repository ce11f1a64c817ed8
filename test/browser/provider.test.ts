import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { servePage, startBrowser } from '../parts/browser.js'
import { freePort } from '../parts/listen.js'
import { startTokenApi } from '../parts/token-api.js'

/** A page of a frontend whose session the test changes. Each user has a note, which `me` fetches. */
const script = (url: string, tokens: Record<string, string>) => `
  import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
  import { createElement as h, StrictMode, useState } from 'react'
  import { createRoot } from 'react-dom/client'
  import { bearerAuth } from 'trpc-bearer/client'
  import { createBearerReact } from 'trpc-bearer/react'

  const tokens = ${JSON.stringify(tokens)}
  const isServerRendered = location.hash === '#server'
  const isWatched = location.hash !== '#unwatched'
  const page = { signedIn: 'alice', report() {}, loads: Number(sessionStorage.loads ?? 0) + 1, shown: new Set() }
  sessionStorage.loads = page.loads
  const getToken = async () => tokens[page.signedIn] ?? null
  const subscribe = isWatched
    ? report => {
        page.report = report
        report(page.signedIn)
        return () => {}
      }
    : undefined
  page.auth = bearerAuth({ getToken, subscribe })
  page.become = user => {
    page.signedIn = user
    page.report(user)
  }
  const { BearerProvider, useTRPC } = createBearerReact()
  function Me() {
    const trpc = useTRPC()
    const queryClient = useQueryClient()
    const { data, error } = useQuery(trpc.me.queryOptions())
    const [typed, setTyped] = useState('')
    const key = trpc.me.queryKey()
    const { mutate } = useMutation({
      mutationFn: () => new Promise((_, fail) => { page.failMutation = () => fail(new Error('late')) }),
      onMutate: () => queryClient.getQueryData(key),
      onError: (_error, _input, before) => queryClient.setQueryData(key, before),
    })
    page.mutate = mutate
    page.addWithRetry = useMutation(trpc.tasks.create.mutationOptions({ retry: 3, retryDelay: 200 })).mutate
    const onMutate = () => new Promise(done => { page.endOnMutate = done })
    page.addSlowly = useMutation(trpc.tasks.create.mutationOptions({ onMutate })).mutate
    const text = data?.id ?? error?.data?.reason ?? '…'
    page.shown.add(page.signedIn + ' sees ' + text)
    return h('p', null, text, h('input', { value: typed, onChange: event => setTyped(event.target.value) }))
  }
  const options = { url: '${url}', auth: page.auth, isServerRendered }
  createRoot(document.body).render(h(StrictMode, null, h(BearerProvider, options, h(Me))))
  Object.assign(globalThis, { page })`

/** Every attempt to add a task fails as it does if the database is away. */
const outage = {
  status: 503,
  json: [
    {
      error: { json: { message: '', code: -32_603, data: { code: 'SERVICE_UNAVAILABLE', httpStatus: 503 } } },
    },
  ],
}

const parts: AsyncDisposable[] = []
function use<T extends AsyncDisposable>(part: T): T {
  parts.unshift(part)
  return part
}
let open: (hash?: string) => Promise<Page>
beforeAll(async () => {
  const api = use(await startTokenApi())
  const port = await freePort()
  const tokens = { alice: await api.mint({ sub: 'alice' }), bob: await api.mint({ sub: 'bob' }) }
  use(await servePage(script('/trpc', tokens), port))
  const { browser } = use(await startBrowser())
  open = async (hash = '') => {
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.route(/\/trpc\//, async route => {
      const { pathname, search } = new URL(route.request().url())
      if (pathname.endsWith('tasks.create')) return route.fulfill(outage)
      await route.fulfill({ response: await route.fetch({ url: new URL(pathname + search, api.url).href }) })
    })
    await page.goto(`http://127.0.0.1:${port}/${hash}`)
    await shows(page, 'alice')
    return page
  }
})
afterAll(async () => {
  for (const part of parts) await part[Symbol.asyncDispose]()
})
const shows = (page: Page, text: string) => page.locator('p', { hasText: text }).waitFor()

test('another user sees nothing that the former user has fetched or typed', async () => {
  const page = await open()
  await page.locator('input').fill('of alice')
  await page.evaluate("page.become('bob')")
  await shows(page, 'bob')
  expect(await page.locator('input').inputValue()).toBe('')
  await page.evaluate('page.become(null)')
  await shows(page, 'missing')
  await page.evaluate("page.become('alice')")
  await shows(page, 'alice')
  const seen = await page.evaluate<string[]>('[...page.shown]')
  expect(seen.filter(line => !line.endsWith('…')).sort()).toEqual([
    'alice sees alice',
    'bob sees bob',
    'null sees missing',
  ])
})

test('a mutation of the former user that fails later changes nothing that the new user sees', async () => {
  const page = await open()
  await page.evaluate('page.mutate()')
  await page.waitForFunction('page.failMutation !== undefined')
  await page.evaluate("page.become('bob')")
  await shows(page, 'bob')
  await page.evaluate('page.failMutation()')
  await page.waitForTimeout(100)
  expect(await page.locator('p').textContent()).toBe('bob')
})

/** Counts the attempts to add a task, whoever makes them. */
function attemptsOf(page: Page) {
  const attempts = { count: 0 }
  page.on('request', request => {
    if (request.url().includes('tasks.create')) attempts.count++
  })
  return attempts
}

test('a mutation of the former user that waits for its next attempt is not sent as the new user', async () => {
  const page = await open()
  const attempts = attemptsOf(page)
  await page.evaluate("page.addWithRetry({ title: 'of alice' })")
  await expect.poll(() => attempts.count).toBe(2)
  await page.evaluate("page.become('bob')")
  await shows(page, 'bob')
  const { count } = attempts
  await page.waitForTimeout(700)
  expect(attempts.count).toBe(count)
})

test('a mutation of the former user whose onMutate is slow is not sent as the new user', async () => {
  const page = await open()
  const attempts = attemptsOf(page)
  await page.evaluate("page.addSlowly({ title: 'of alice' })")
  await page.waitForFunction('page.endOnMutate !== undefined')
  await page.evaluate("{ const { endOnMutate } = page; page.become('bob'); endOnMutate() }")
  await shows(page, 'bob')
  await page.waitForTimeout(300)
  expect(attempts.count).toBe(0)
  await page.evaluate("page.addSlowly({ title: 'of bob' })")
  await page.waitForTimeout(100)
  await page.evaluate('page.endOnMutate()')
  await expect.poll(() => attempts.count).toBe(1)
})

test('without subscribe each sign-out by clear() is followed', async () => {
  const page = await open('#unwatched')
  for (const user of ['bob', 'alice', 'bob']) {
    await page.evaluate(`{ page.auth.clear(); page.signedIn = '${user}' }`)
    await shows(page, user)
  }
})

test('the same user again changes nothing', async () => {
  const page = await open()
  await page.locator('input').fill('half a thought')
  await page.evaluate('page.report(undefined)')
  await page.evaluate("page.become('alice')")
  await page.waitForTimeout(100)
  expect(await page.locator('input').inputValue()).toBe('half a thought')
})

test('a page that a server rendered is loaded again for another user', async () => {
  const page = await open('#server')
  const loaded = page.waitForEvent('load')
  await page.evaluate("page.become('bob')")
  await loaded
  await page.waitForFunction('globalThis.page?.loads === 2')
})
