import { describe, expect, onTestFinished, test } from 'vitest'
import { openTab, openTaskPage, startTaskPages } from '../parts/task-page.js'

const { browser, url, newPerson } = await startTaskPages()

describe.each([
  ['light', 1280],
  ['light', 360],
  ['dark', 1280],
  ['dark', 360],
] as const)('in the %s theme, %i pixels wide', (colorScheme, width) => {
  test('each state of the page is accessible, and nothing needs scrolling to the side', async () => {
    const ann = await openTaskPage(browser, url, { colorScheme, viewport: { width, height: 800 } })
    onTestFinished(() => ann.context.close())
    const { page } = ann
    const check = async () => {
      await ann.expectAccessible()
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width)
    }
    await page.getByRole('button', { name: 'Sign up' }).waitFor()
    await check()
    await ann.signUp('ann')
    await check()
    await ann.add('Buy milk', `A long word: ${'x'.repeat(80)}`)
    await (await ann.edit('Buy milk')).getByLabel('Notes').fill('two bottles')
    await check()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByLabel('Complete “Buy milk”').check()
    await ann.task('Buy milk').getByText('two bottles').waitFor()

    await page.route(/tasks\.create/, route => route.fulfill({ status: 503, body: 'down' }))
    await ann.newTask.fill('Not added')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').getByText('was not added').waitFor()
    await check()
    await page.getByRole('button', { name: 'Close' }).click()
    await ann.newTask.fill('')

    const form = await ann.edit('Buy milk')
    await form.getByLabel('Title').fill('Buy oat milk')
    const other = await openTab(ann.context, url)
    await (await other.edit('Buy milk')).getByLabel('Title').fill('Buy bread')
    const saved = other.page.waitForResponse(/tasks\.update/)
    await other.page.getByRole('button', { name: 'Save' }).click()
    await saved
    await other.page.close()
    await form.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('dialog').getByText('Buy bread').waitFor()
    await check()
    await page.getByRole('button', { name: 'Keep the saved one' }).click()

    await ann.context.clearCookies()
    await page.getByRole('button', { name: 'Refresh it' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('Your session has ended').waitFor()
    await check()
    await dialog.getByLabel('Password').fill('correct horse')
    await dialog.getByRole('button', { name: 'Sign in' }).click()
    await dialog.waitFor({ state: 'detached' })

    await page.getByRole('button', { name: 'Open a second person' }).click()
    await page.locator('h1:focus', { hasText: 'The guest’s tasks' }).waitFor()
    await page.getByText('Nothing to do yet').waitFor()
    await check()
    expect(ann.errors).toEqual([])
  })
})

test('a task is created, edited, completed, filtered, searched, deleted and restored, and survives a reload', async () => {
  const ann = await newPerson('ann')
  const { page } = ann
  await ann.add('Buy milk', 'Call the bank', 'Water the plants')
  const form = await ann.edit('Buy milk')
  await form.getByLabel('Title').fill('Buy oat milk')
  await form.getByLabel('Notes').fill('two bottles')
  await form.getByLabel('Due').fill('2030-01-01T10:00')
  await form.getByRole('button', { name: 'Save' }).click()
  await ann.task('Buy oat milk').getByText('two bottles').waitFor()
  await page.getByLabel('Complete “Buy oat milk”').check()

  await page.getByRole('radio', { name: 'Done' }).check()
  await expect.poll(ann.titles).toEqual(['Buy oat milk'])
  await page.getByRole('radio', { name: 'Open' }).check()
  await expect.poll(ann.titles).toEqual(['Water the plants', 'Call the bank'])
  await page.getByRole('radio', { name: 'All' }).check()
  await page.getByLabel('Search tasks').fill('BANK')
  await expect.poll(ann.titles).toEqual(['Call the bank'])
  await page.getByLabel('Search tasks').fill('nothing like it')
  await page.getByRole('button', { name: 'Show all tasks' }).click()

  await page.getByLabel('Delete “Call the bank”').click()
  await expect.poll(ann.titles).toEqual(['Water the plants', 'Buy oat milk'])
  await page.getByRole('button', { name: 'Undo' }).click()
  await expect.poll(ann.titles).toEqual(['Call the bank', 'Water the plants', 'Buy oat milk'])
  await page.getByRole('button', { name: 'Clear completed' }).click()
  await expect.poll(ann.titles).toEqual(['Call the bank', 'Water the plants'])
  await page.getByText('1 task deleted.').waitFor()
  await page.getByRole('button', { name: 'Undo' }).click()
  await expect.poll(ann.titles).toEqual(['Buy oat milk', 'Call the bank', 'Water the plants'])
  await page.locator('[aria-label="Complete “Buy oat milk”"]:checked').waitFor()
  await page.getByRole('button', { name: 'Clear completed' }).click()
  await expect.poll(ann.titles).toEqual(['Call the bank', 'Water the plants'])
  await page.reload()
  await expect.poll(ann.titles).toEqual(['Call the bank', 'Water the plants'])
})

test('the list grows while it is scrolled', async () => {
  const ann = await newPerson('ann')
  const token = await ann.page.evaluate<string>(
    `fetch('/api/auth/token').then(answer => answer.json()).then(({ token }) => token)`,
  )
  await Promise.all(
    Array.from({ length: 60 }, (_, n) =>
      fetch(`${url}/trpc/tasks.create`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ json: { title: `Task ${n}` } }),
      }),
    ),
  )
  await ann.page.reload()
  await expect.poll(async () => (await ann.titles()).length).toBe(25)
  for (let n = 0; n < 6; n++) {
    await ann.page.mouse.wheel(0, 5_000)
    await ann.page.waitForTimeout(300)
  }
  await expect.poll(async () => new Set(await ann.titles()).size).toBe(60)
  await ann.page.getByRole('button', { name: 'Show more' }).waitFor({ state: 'detached' })
})

test('two people side by side see only their own tasks, and the guest leaves no trace', async () => {
  const ann = await newPerson('ann')
  const { page } = ann
  await ann.add('Of Ann')
  await page.getByRole('button', { name: 'Open a second person' }).click()
  const guest = page.locator('.workspace').last()
  await guest.getByText('Nothing to do yet').waitFor()
  await guest.getByLabel('New task').fill('Of the guest')
  await page.keyboard.press('Enter')
  await guest.getByText('Of the guest').first().waitFor()
  await page.reload()
  await expect.poll(ann.titles).toEqual(['Of Ann'])
})

test('the next person in the tab gets neither the guest nor the token panel of the former one', async () => {
  const { page, email } = await newPerson('ann')
  await page.getByRole('button', { name: 'Open a second person' }).dblclick()
  await page.locator('.workspace').last().getByText('Nothing to do yet').waitFor()
  const [own] = await page.getByRole('button', { name: 'Refresh it' }).all()
  let delay = 2_000
  // The token of the former person arrives late, and that of the next one too.
  await page.route('**/api/auth/token', async route => {
    const response = await route.fetch()
    await new Promise(done => setTimeout(done, delay))
    await route.fulfill({ response }).catch(() => {})
  })
  await own?.click()
  await page.waitForTimeout(300)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('button', { name: 'I am new here' }).click()
  delay = 4_000
  await page.getByLabel('Name').fill('bob')
  await page.getByLabel('Email').fill(`bob-${crypto.randomUUID()}@example.com`)
  await page.getByLabel('Password').fill('correct horse')
  await page.getByRole('button', { name: 'Sign up' }).click()
  await page.getByRole('button', { name: 'Sign out' }).waitFor()
  expect(await page.locator('body').textContent()).not.toContain(email)
  expect(await page.locator('.workspace').count()).toBe(1)
  await page.waitForTimeout(2_500)
  expect(await page.locator('body').textContent()).not.toContain(email)
  await page.getByText('Nothing to do yet').waitFor()
  expect(await page.locator('.workspace').count()).toBe(1)
  expect(await page.getByText('no answer').count()).toBe(0)
})

test('a guest whose session has ended is closed with a notice, because nobody knows the password', async () => {
  const { page } = await newPerson('ann')
  await page.getByRole('button', { name: 'Open a second person' }).dblclick()
  const guest = page.locator('.workspace').last()
  await guest.getByText('Nothing to do yet').waitFor()
  // The owner has a cookie in place of the header.
  await page.route('**/api/auth/token', route =>
    route.request().headers().authorization ? route.fulfill({ status: 401, body: '{}' }) : route.continue(),
  )
  await guest.getByRole('button', { name: 'Refresh it' }).click()
  await page.getByText('The session of the second person has ended.').waitFor()
  expect(await page.locator('.workspace').count()).toBe(1)
  expect(await page.getByRole('dialog').count()).toBe(0)
})

test('two people in two browsers see only their own tasks', async () => {
  const [ann, bob] = [await newPerson('ann'), await newPerson('bob')]
  await ann.add('Of Ann')
  await bob.add('Of Bob')
  for (const [person, title] of [
    [ann, 'Of Ann'],
    [bob, 'Of Bob'],
  ] as const) {
    await person.page.reload()
    await expect.poll(person.titles).toEqual([title])
  }
})

test('a tab follows a sign-out and the next sign-in of another tab, and shows nothing of the former user', async () => {
  const ann = await newPerson('ann')
  await ann.add('Of Ann')
  const second = await openTab(ann.context, url)
  await expect.poll(second.titles).toEqual(['Of Ann'])
  await second.newTask.fill('half a thought')
  await ann.page.getByRole('button', { name: 'Sign out' }).click()
  await second.page.getByRole('button', { name: 'Sign in' }).waitFor()
  expect(await second.page.content()).not.toContain('Of Ann')
  await ann.page.getByRole('button', { name: 'I am new here' }).click()
  await ann.signUp('bob')
  await ann.add('Of Bob')
  // Better Auth looks at the session again when somebody comes back to a tab. A browser without windows has no such moment.
  await second.page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`)
  await second.page.getByText(/^bob-/).first().waitFor()
  expect(await second.newTask.inputValue()).toBe('')
  await second.page.reload()
  await expect.poll(second.titles).toEqual(['Of Bob'])
  expect(second.errors).toEqual([])
})

test('a conflict shows both versions, and either can be kept', async () => {
  const ann = await newPerson('ann')
  await ann.add('first')
  const second = await openTab(ann.context, url)
  const rename = async (tab: typeof second, from: string, to: string) => {
    const form = await tab.edit(from)
    await form.getByLabel('Title').fill(to)
    return form.getByRole('button', { name: 'Save' })
  }
  const save = await rename(second, 'first', 'of the second tab')
  const saveFirst = await rename({ ...ann }, 'first', 'of the first tab')
  await Promise.all([ann.page.waitForResponse(/tasks\.update/), saveFirst.click()])
  await save.click()
  const dialog = second.page.getByRole('dialog')
  await dialog.getByRole('region', { name: 'Yours' }).getByText('of the second tab').waitFor()
  await dialog.getByRole('region', { name: 'Saved' }).getByText('of the first tab').waitFor()
  await second.expectAccessible()
  const keepMine = dialog.getByRole('button', { name: 'Keep mine' })
  await Promise.all([second.page.waitForResponse(/tasks\.update/), keepMine.click()])
  await expect.poll(second.titles).toEqual(['of the second tab'])
  await second.page.reload()
  await expect.poll(second.titles).toEqual(['of the second tab'])

  const saveAgain = await rename({ ...ann }, 'of the first tab', 'too late')
  await saveAgain.click()
  await ann.page.getByRole('button', { name: 'Keep the saved one' }).click()
  await expect.poll(ann.titles).toEqual(['of the second tab'])
  expect(second.errors).toEqual([])
})

test('an edit that is saved while the same task is being completed is no conflict', async () => {
  const ann = await newPerson('ann')
  const { page } = ann
  await ann.add('Buy milk')
  let isFirst = true
  await page.route(/tasks\.update/, async route => {
    if (isFirst) await page.waitForTimeout(1_000)
    isFirst = false
    await route.continue()
  })
  await page.getByLabel('Complete “Buy milk”').check()
  const form = await ann.edit('Buy milk')
  await form.getByLabel('Title').fill('Buy bread')
  const isEditSaved = page.waitForResponse(
    response => response.request().postData()?.includes('Buy bread') ?? false,
  )
  await form.getByRole('button', { name: 'Save' }).click()
  await isEditSaved
  await expect.poll(ann.titles, { timeout: 5_000 }).toEqual(['Buy bread'])
  expect(await page.getByRole('dialog').count()).toBe(0)
  await page.reload()
  await expect.poll(ann.titles).toEqual(['Buy bread'])
  expect(await page.getByLabel('Complete “Buy bread”').isChecked()).toBe(true)
})

test('a token that expires during use costs one refused call, and the person notices nothing', async () => {
  const ann = await newPerson('ann')
  const { page } = ann
  await page.getByRole('button', { name: 'Let it expire' }).click()
  await page.getByText('An expired token was sent.').waitFor()
  await page.getByRole('cell', { name: '401 expired' }).waitFor()
  await ann.add('after it')
  await page.getByRole('button', { name: 'Call without it' }).click()
  await page.getByRole('cell', { name: '401 missing' }).waitFor()
  await page.getByText('“me” was called without a token. The API answered 401.').waitFor()
  await page.getByRole('button', { name: 'Refresh it' }).click()
  await page.getByText('The client got a new token').waitFor()
  expect(await page.getByText('was called without a token').count()).toBe(0)
  expect(await page.content()).not.toMatch(/eyJ[\w-]+\.eyJ/)
  await ann.context.setOffline(true)
  await page.getByRole('button', { name: 'Let it expire' }).click()
  await page.getByText('You are offline, so nothing was sent.').waitFor()
})

test('a session that has ended asks for a sign-in over the page, and what was typed is still there', async () => {
  const ann = await newPerson('ann')
  const { page } = ann
  await ann.add('Buy milk')
  await (await ann.edit('Buy milk')).getByLabel('Notes').fill('not saved yet')
  await ann.newTask.fill('half a thought')
  await ann.context.clearCookies()
  await page.getByRole('button', { name: 'Refresh it' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('Your session has ended').waitFor()
  await page.locator('[name=password]:focus').waitFor()
  for (let n = 0; n < 3; n++) await page.keyboard.press('Escape')
  await ann.expectAccessible()
  await dialog.getByLabel('Password').fill('correct horse')
  await dialog.getByRole('button', { name: 'Sign in' }).click()
  await dialog.waitFor({ state: 'detached' })
  await expect.poll(() => ann.newTask.inputValue()).toBe('half a thought')
  await expect.poll(() => page.getByLabel('Notes').inputValue()).toBe('not saved yet')
  await page.getByRole('button', { name: 'Save' }).click()
  await ann.task('Buy milk').getByText('not saved yet').waitFor()
})

test('offline changes show at once, and are sent when the connection is back', async () => {
  const ann = await newPerson('ann')
  await ann.context.setOffline(true)
  await ann.page.getByText('You are offline.').waitFor()
  await ann.newTask.fill('from the train')
  await ann.page.keyboard.press('Enter')
  await expect.poll(ann.titles).toEqual(['from the train'])
  await ann.context.setOffline(false)
  await ann.page
    .getByRole('button', { name: 'Edit “from the train”' })
    .and(ann.page.locator(':enabled'))
    .waitFor()
  await ann.page.reload()
  await expect.poll(ann.titles).toEqual(['from the train'])
})

test('a change that the API refuses is taken back, says why, and can be tried again', async () => {
  const ann = await newPerson('ann')
  const { page } = ann
  await ann.add('Buy milk')
  let isDown = true
  await page.route(/tasks\.(update|create)/, route =>
    isDown ? route.fulfill({ status: 503, body: 'busy' }) : route.continue(),
  )
  await page.getByLabel('Complete “Buy milk”').click()
  await page.getByText('The change of “Buy milk” was not saved.').waitFor()
  await expect.poll(() => page.getByLabel('Complete “Buy milk”').isChecked()).toBe(false)
  await ann.newTask.fill('Call the bank')
  await page.keyboard.press('Enter')
  await page.getByText('“Call the bank” was not added.').waitFor()
  expect(await ann.titles()).toEqual(['Buy milk'])
  expect(await ann.newTask.inputValue()).toBe('Call the bank')
  await ann.expectAccessible()
  isDown = false
  await page.getByRole('button', { name: 'Try again' }).first().click()
  await expect.poll(() => page.getByLabel('Complete “Buy milk”').isChecked()).toBe(true)
})

test('an API that does not answer is a visible state with a way out', async () => {
  const ann = await newPerson('ann')
  const { page } = ann
  await ann.add('Buy milk')
  await page.route(/tasks\.list/, route => route.fulfill({ status: 400, body: 'no' }))
  await page.reload()
  await page.getByText('Your tasks cannot be shown.').waitFor()
  await ann.expectAccessible()
  await page.unroute(/tasks\.list/)
  await page.getByRole('button', { name: 'Try again' }).click()
  await expect.poll(ann.titles).toEqual(['Buy milk'])
})

test('thirty quick reloads lose nothing', async () => {
  const ann = await newPerson('ann')
  await ann.add('Buy milk')
  await ann.newTask.fill('half a thought')
  for (let n = 0; n < 30; n++) {
    await ann.page.evaluate('location.reload()').catch(() => {})
    await ann.page.waitForTimeout(n * 10)
  }
  await expect.poll(ann.titles).toEqual(['Buy milk'])
  expect(await ann.newTask.inputValue()).toBe('half a thought')
})

test('the keyboard alone is enough', async () => {
  const ann = await newPerson('ann')
  const { page } = ann
  const press = (key: string) => page.keyboard.press(key)
  const focused = () =>
    page.evaluate<string>(
      `document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent`,
    )
  const tabTo = async (name: string) => {
    for (let n = 0; n < 40 && (await focused()) !== name; n++) await press('Tab')
    expect(await focused()).toBe(name)
  }
  await page.reload()
  await ann.newTask.waitFor()
  await press('Tab')
  expect(await focused()).toBe('Skip to the content')
  await tabTo('New task')
  await page.keyboard.type('Buy milk')
  await press('Enter')
  await ann.task('Buy milk').waitFor()
  await page.getByLabel('Complete “Buy milk”').and(page.locator(':enabled')).waitFor()
  await tabTo('Complete “Buy milk”')
  await press('Space')
  await press('Tab')
  expect(await focused()).toBe('Edit “Buy milk”')
  await press('Enter')
  await page.keyboard.type(' and bread')
  await press('Enter')
  await ann.task('Buy milk and bread').waitFor()
  expect(await focused()).toBe('Edit “Buy milk and bread”')
  await press('Enter')
  await page.keyboard.type('discarded')
  await press('Escape')
  await tabTo('Delete “Buy milk and bread”')
  await press('Enter')
  await page.getByText('“Buy milk and bread” deleted.').waitFor()
  await tabTo('Undo')
  await press('Enter')
  await ann.task('Buy milk and bread').waitFor()
})
