import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readConfig, startServer } from '../../server/index.js'
import { startBrowser } from '../parts/browser.js'
import { root } from '../parts/program.js'
import { openTaskPage } from '../parts/task-page.js'
import { temporaryFolder } from '../parts/temporary-folder.js'

/** Takes the pictures of the README and of docs/getting-started.md again: `npm run screenshots`. Needs Chromium. */
const folder = join(root, 'docs/images')
await mkdir(folder, { recursive: true })

await using data = await temporaryFolder()
const server = await startServer(readConfig({ PORT: '4000', LOG_LEVEL: 'silent', DATA_DIR: data.path }))
await using started = await startBrowser()
const ann = await openTaskPage(started.browser, server.url.replace('127.0.0.1', 'localhost'), {
  viewport: { width: 1280, height: 860 },
  colorScheme: 'light',
  locale: 'en-GB',
})
const { page } = ann
const shoot = (name: string) => page.screenshot({ path: join(folder, `${name}.png`) })
await page.getByRole('button', { name: 'Sign up' }).waitFor()
await shoot('sign-up')
await ann.signUp('ann', 'ann@example.com')
await ann.add('Water the plants', 'Buy milk', 'Call the bank about the new card')
await page.getByLabel('Complete “Buy milk”').check()
const form = await ann.edit('Water the plants')
await form.getByLabel('Notes').fill('The big one in the kitchen, too.')
await form.getByRole('button', { name: 'Save' }).click()
await page.getByText('How it works').scrollIntoViewIfNeeded()
await page.waitForTimeout(500)
await shoot('how-it-works')
await page.getByRole('button', { name: 'Open a second person' }).click()
const guest = page.locator('.workspace').last()
await guest.getByText('Nothing to do yet').waitFor()
await guest.getByLabel('New task').fill('Write a thank-you letter')
await page.keyboard.press('Enter')
await guest
  .getByRole('button', { name: 'Edit “Write a thank-you letter”' })
  .and(page.locator(':enabled'))
  .waitFor()
await page.waitForTimeout(500)
await shoot('two-people')
await ann.context.close()
await server.close()
