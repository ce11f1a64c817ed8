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
  import { createBearerReact } from 'trpc-bearer/react'

  const tokens = ${JSON.stringify(tokens)}
  const isServerRendered = location.hash === '#server'
  const page = { signedIn: 'alice', report() {}, loads: Number(sessionStorage.loads ?? 0) + 1, shown: new Set() }
  sessionStorage.loads = page.loads
  const getToken = Object.assign(async () => tokens[page.signedIn] ?? null, {
    subscribe(report) {
      page.report = report
      report(page.signedIn)
      return () => {}
    },
  })
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
    const text = data?.id ?? error?.data?.reason ?? '…'
    page.shown.add(page.signedIn + ' sees ' + text)
    return h('p', null, text, h('input', { value: typed, onChange: event => setTyped(event.target.value) }))
  }
  const options = { url: '${url}', getToken, isServerRendered }
  createRoot(document.body).render(h(StrictMode, null, h(BearerProvider, options, h(Me))))
  Object.assign(globalThis, { page })`

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
