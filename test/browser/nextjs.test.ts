import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startBrowser } from '../parts/browser.js'
import { emptyDatabase } from '../parts/database.js'
import { freePort } from '../parts/listen.js'
import { root, run, startProgram } from '../parts/program.js'
import { waitFor } from '../parts/wait-for.js'

const cwd = join(root, 'examples/nextjs')
const parts: AsyncDisposable[] = []
function use<T extends AsyncDisposable>(part: T): T {
  parts.unshift(part)
  return part
}
let browser: Browser
let url: string
let apiUrl: string
beforeAll(async () => {
  const succeeds = async (command: string, args: string[]) => {
    const { code, stdout, stderr } = await run(command, args, { cwd })
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}${stderr}`)
  }
  // Without scripts: those of this package would build `dist` again, while other tests run it.
  await succeeds('npm', ['ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'])
  await succeeds('npm', ['run', 'build'])
  const database = use(await emptyDatabase())
  url = `http://localhost:${await freePort()}`
  apiUrl = `http://localhost:${await freePort()}`
  const env = { DATABASE_URL: database.url, BETTER_AUTH_URL: url, API_URL: apiUrl }
  const started = startProgram('node_modules/.bin/tsx', ['dev.ts', '--production'], { env, cwd })
  use({
    async [Symbol.asyncDispose]() {
      await started.stop('SIGTERM')
    },
  })
  await started.waitForOutput(/Ready in/)
  await waitFor(async () => expect((await fetch(`${apiUrl}/readyz`)).status).toBe(200))
  browser = use(await startBrowser()).browser
}, 300_000)
afterAll(async () => {
  for (const part of parts) await part[Symbol.asyncDispose]()
})

async function openPage(options: Parameters<Browser['newContext']>[0] = {}) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', error => errors.push(error.message))
  page.on('console', message => message.type() === 'error' && errors.push(message.text()))
  await page.goto(url)
  const signUp = async (name: string) => {
    await page.getByLabel('Email').fill(`${name}-${crypto.randomUUID()}@example.com`)
    await page.getByLabel('Password').fill('correct horse')
    await page.getByRole('button', { name: 'Sign in or sign up' }).click()
    await page.getByText(`The server component has asked the API who you are: ${name}`).waitFor()
  }
  return { context, page, errors, signUp }
}

test('calls the API from the browser, on the server and in-process, as each person', async () => {
  const ann = await openPage()
  const calls: string[] = []
  ann.page.on('request', request => calls.push(`${request.method()} ${request.url().split('?')[0]}`))
  await ann.signUp('ann')
  await ann.page.getByLabel('New task').fill('Buy milk')
  await ann.page.getByRole('button', { name: 'Add' }).click()
  await ann.page.getByText('Buy milk').waitFor()
  expect(calls).toContain(`POST ${apiUrl}/trpc/tasks.create`)

  const html = await (await ann.page.request.get(url)).text()
  expect(html).toContain('Buy milk')
  await ann.page.getByText('The API inside of Next.js, at /api/trpc, counts 1 tasks.').waitFor()
  await ann.page.reload()
  await ann.page.getByText('The API inside of Next.js, at /api/trpc, counts 1 tasks.').waitFor()

  const bob = await openPage()
  await bob.signUp('bob')
  await bob.page.getByText('The API inside of Next.js, at /api/trpc, counts 0 tasks.').waitFor()
  expect(await bob.page.content()).not.toContain('Buy milk')

  await ann.page.getByRole('button', { name: 'Sign out' }).click()
  await ann.page.getByRole('button', { name: 'Sign in or sign up' }).waitFor()
  expect(await ann.page.content()).not.toContain('Buy milk')
  await ann.signUp('carl')
  await ann.page.getByText('The API inside of Next.js, at /api/trpc, counts 0 tasks.').waitFor()
  expect(await ann.page.content()).not.toContain('Buy milk')
  for (const { context, errors } of [ann, bob]) {
    expect(errors).toEqual([])
    await context.close()
  }
})

test('a form that is sent before the page has loaded puts no password into the URL', async () => {
  const { page, context } = await openPage({ javaScriptEnabled: false })
  await page.getByLabel('Email').fill('ann@example.com')
  await page.getByLabel('Password').fill('correct horse')
  await page.getByRole('button', { name: 'Sign in or sign up' }).click()
  await page.waitForTimeout(500)
  expect(page.url()).toBe(`${url}/`)
  await context.close()
})
