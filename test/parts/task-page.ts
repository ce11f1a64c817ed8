import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, expect, onTestFinished } from 'vitest'
import { startApp } from './app.js'
import { startBrowser } from './browser.js'
import { freePort } from './listen.js'

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What the page of one person can do, in the words of a person. */
export function taskPage(page: Page) {
  const task = (title: string) => page.getByRole('listitem').filter({ hasText: title })
  return {
    page,
    task,
    newTask: page.getByLabel('New task').first(),
    notice: page.getByRole('status').or(page.getByRole('alert')),
    async signUp(name: string, email = `${name}-${crypto.randomUUID()}@example.com`) {
      await page.getByLabel('Name').fill(name)
      await page.getByLabel('Email').fill(email)
      await page.getByLabel('Password').fill('correct horse')
      await page.getByRole('button', { name: 'Sign up' }).click()
      await page.getByText('Nothing to do yet').waitFor()
      return email
    },
    async add(...titles: string[]) {
      for (const title of titles) {
        await page.getByLabel('New task').first().fill(title)
        await page.keyboard.press('Enter')
        await page
          .getByRole('button', { name: `Edit “${title}”` })
          .and(page.locator(':enabled'))
          .waitFor()
      }
    },
    async edit(title: string) {
      await page.getByRole('button', { name: `Edit “${title}”` }).click()
      return page.getByRole('form', { name: `Edit “${title}”` })
    },
    titles: () => page.locator('.task-text').allTextContents(),
    async expectAccessible() {
      // As an expression, because the policy of the page refuses a script of the test.
      await page.evaluate(axe)
      const found = await page.evaluate(async () => {
        const { violations } = await Reflect.get(globalThis, 'axe').run()
        return violations.map(({ id, nodes }: { id: string; nodes: { html: string }[] }) => [
          id,
          nodes.map(node => node.html),
        ])
      })
      expect(found).toEqual([])
    },
  }
}

/** A browser profile with one tab, and the errors of its console and scripts, except answers that a test expects. */
export async function openTaskPage(
  browser: Browser,
  url: string,
  options: Parameters<Browser['newContext']>[0] = {},
) {
  const context = await browser.newContext(options)
  return { context, ...(await openTab(context, url)) }
}

export async function openTab(context: BrowserContext, url: string) {
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', error => errors.push(error.message))
  page.on('console', message => {
    // Chromium prints each refused request. The test looks at what the page makes of it.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      errors.push(message.text())
  })
  await page.goto(url)
  return { ...taskPage(page), errors }
}

/** The app and a browser for the tests of a file. */
export async function startTaskPages() {
  const app = await startApp('embedded', { PORT: String(await freePort()) })
  const started = await startBrowser()
  afterAll(async () => {
    await started[Symbol.asyncDispose]()
    await app[Symbol.asyncDispose]()
  })
  const { browser } = started
  const url = app.url.replace('127.0.0.1', 'localhost')

  /** A new person in a new browser profile, signed up. */
  async function newPerson(name: string, options: Parameters<Browser['newContext']>[0] = {}) {
    const person = await openTaskPage(browser, url, options)
    onTestFinished(async () => {
      expect(person.errors).toEqual([])
      await person.context.close()
    })
    return { ...person, email: await person.signUp(name) }
  }
  return { browser, url, newPerson }
}
