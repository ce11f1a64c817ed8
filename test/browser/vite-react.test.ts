import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startApp } from '../parts/app.js'
import { bundle, startBrowser } from '../parts/browser.js'
import { freePort, listen } from '../parts/listen.js'
import { root } from '../parts/program.js'

const folder = join(root, 'examples/vite-react')

/** The example, for an API at another address. */
const bundleFor = (apiUrl: string) =>
  bundle({
    entryPoints: [join(folder, 'main.tsx')],
    plugins: [
      {
        name: 'address',
        setup({ onLoad }) {
          onLoad({ filter: /vite-react\/api\.ts$/ }, async ({ path }) => ({
            loader: 'ts',
            contents: (await readFile(path, 'utf8')).replace('http://localhost:4000', apiUrl),
          }))
        },
      },
    ],
  })

test('the single-page example signs in, creates, completes, meets a conflict and deletes', async () => {
  const port = await freePort()
  const origin = `http://localhost:${port}`
  await using app = await startApp('embedded', { CORS_ORIGINS: origin })
  const script = await bundleFor(app.url)
  const html = (await readFile(join(folder, 'index.html'), 'utf8')).replace('main.tsx', 'main.js')
  const server = createServer((req, res) => {
    const isScript = req.url === '/main.js'
    res.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    res.end(isScript ? script : html)
  })
  await using _ = await listen(server, port)
  await using started = await startBrowser()
  const context = await started.browser.newContext()
  const open = async () => {
    const page = await context.newPage()
    await page.goto(origin)
    return page
  }
  const page = await open()
  await page.getByPlaceholder('Email').fill('ann@example.com')
  await page.getByPlaceholder('Password').fill('correct horse')
  await page.getByRole('button', { name: 'Sign in or sign up' }).click()
  await page.getByText('ann@example.com').waitFor()
  for (const title of ['Buy milk', 'Call mum']) {
    await page.getByPlaceholder('What needs doing?').fill(title)
    await page.keyboard.press('Enter')
    await page.getByLabel(title).and(page.locator(':enabled')).waitFor()
  }
  const other = await open()
  await other.getByLabel('Buy milk').check()
  await page.getByLabel('Buy milk').click()
  await page.getByText('This task was changed somewhere else').waitFor()
  await page.getByRole('button', { name: 'Change it all the same' }).click()
  await page.getByLabel('Buy milk').and(page.locator(':enabled:not(:checked)')).waitFor()
  await page.getByRole('listitem').filter({ hasText: 'Call mum' }).getByRole('button').click()
  await expect.poll(() => page.getByRole('listitem').count()).toBe(1)
  await page.reload()
  await expect.poll(() => page.getByRole('listitem').allTextContents()).toEqual(['Buy milkDelete'])
})
