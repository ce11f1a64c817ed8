import type { Locator, Page, Route } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { openTab, startTaskPages } from '../parts/task-page.js'

const { url, newPerson } = await startTaskPages()

/** Holds the calls of a procedure until they are let go, or answers them all with 503. */
async function hold(page: Page, procedures: RegExp) {
  const held: Route[] = []
  let state: 'held' | 'down' | 'open' = 'held'
  await page.route(procedures, route => {
    if (state === 'held') return void held.push(route)
    return state === 'down' ? route.fulfill({ status: 503, body: 'busy' }) : route.continue()
  })
  return {
    count: () => held.length,
    letGo() {
      state = 'open'
      for (const route of held.splice(0)) void route.continue()
    },
    fail() {
      state = 'down'
      for (const route of held.splice(0)) void route.fulfill({ status: 503, body: 'busy' })
    },
  }
}

/** Returns when the API has saved it. */
const save = (page: Page, form: Locator) =>
  Promise.all([page.waitForResponse(/tasks\.update/), form.getByRole('button', { name: 'Save' }).click()])

/** A person with one task, as it is in the API. */
async function withTask(title = 'Buy milk') {
  const ann = await newPerson('ann')
  await ann.add(title)
  const { page } = ann
  const form = page.locator('.task-open')
  return {
    ...ann,
    form,
    box: (name: string) => page.getByLabel(`Complete “${name}”`),
    async rename(from: string, to: string) {
      await page.getByRole('button', { name: `Edit “${from}”` }).click()
      await form.getByLabel('Title').fill(to)
      await form.getByRole('button', { name: 'Save' }).click()
    },
    /** After a reload, so that nothing but the API can have it. */
    async expectSaved(titles: string[]) {
      await expect.poll(() => page.locator('.task[data-new]').count()).toBe(0)
      await page.waitForTimeout(300)
      expect(await page.getByRole('dialog').count()).toBe(0)
      await page.reload()
      await expect.poll(ann.titles).toEqual(titles)
    },
  }
}

describe('the page does not conflict with itself', () => {
  test('when a task is ticked and unticked before the first answer', async () => {
    const { page, box, expectSaved } = await withTask()
    const calls = await hold(page, /tasks\.update/)
    await box('Buy milk').check()
    await box('Buy milk').uncheck()
    await expect.poll(calls.count).toBe(1)
    calls.letGo()
    await expectSaved(['Buy milk'])
    expect(await box('Buy milk').isChecked()).toBe(false)
  })

  test('when an edit is saved and the task is ticked and edited again', async () => {
    const { page, box, rename, expectSaved } = await withTask()
    const calls = await hold(page, /tasks\.update/)
    await rename('Buy milk', 'Buy oat milk')
    await box('Buy oat milk').check()
    await rename('Buy oat milk', 'Buy soy milk')
    expect(await box('Buy soy milk').isChecked()).toBe(true)
    calls.letGo()
    await expectSaved(['Buy soy milk'])
    expect(await box('Buy soy milk').isChecked()).toBe(true)
  })

  test('when a task is edited and ticked while the browser is offline', async () => {
    const { context, page, box, rename, expectSaved } = await withTask()
    await context.setOffline(true)
    await page.getByText('You are offline.').waitFor()
    await rename('Buy milk', 'Buy oat milk')
    await box('Buy oat milk').check()
    await context.setOffline(false)
    await expectSaved(['Buy oat milk'])
    expect(await box('Buy oat milk').isChecked()).toBe(true)
  })

  test('when a form that came back is saved after “Try again”', async () => {
    const { page, box, form, rename, expectSaved } = await withTask()
    const calls = await hold(page, /tasks\.update/)
    calls.fail()
    await rename('Buy milk', 'Buy oat milk')
    await page.getByText('was not saved.').waitFor()
    expect(await form.getByLabel('Title').inputValue()).toBe('Buy oat milk')
    calls.letGo()
    await page.getByRole('button', { name: 'Try again' }).click()
    await box('Buy oat milk').check()
    await rename('Buy oat milk', 'Buy soy milk')
    await expectSaved(['Buy soy milk'])
  })

  test('when the answer of a change was lost and the next change follows', async () => {
    const { page, box, expectSaved } = await withTask()
    const loseAnswer = async (route: Route) => {
      await route.fetch()
      await route.abort()
    }
    await page.route(/tasks\.update/, loseAnswer, { times: 1 })
    await box('Buy milk').check()
    await box('Buy milk').uncheck()
    await expectSaved(['Buy milk'])
    expect(await box('Buy milk').isChecked()).toBe(false)
  })

  test('when the answer of a change was lost and the page was loaded again', async () => {
    const { page, form, rename, expectSaved } = await withTask()
    await page.route(/tasks\.update/, async route => {
      await route.fetch()
      await route.abort()
    })
    await rename('Buy milk', 'Buy oat milk')
    await page.getByText('was not saved.').waitFor()
    await page.unroute(/tasks\.update/)
    await page.reload()
    await form.getByRole('button', { name: 'Save' }).click()
    await expectSaved(['Buy oat milk'])
  })
})

describe('conflicts with another window', () => {
  /** Two tasks with forms that another window has overtaken. */
  async function withTwoConflicts() {
    const ann = await withTask('one')
    await ann.add('two')
    const other = await openTab(ann.context, url)
    for (const title of ['one', 'two']) {
      const form = await ann.edit(title)
      await form.getByLabel('Title').fill(`my ${title}`)
      const otherForm = await other.edit(title)
      await otherForm.getByLabel('Notes').fill(`other notes of ${title}`)
      await save(other.page, otherForm)
    }
    // Past the dialog of the first one.
    for (let n = 0; n < 2; n++) await ann.form.first().getByRole('button').first().dispatchEvent('click')
    const dialog = ann.page.getByRole('dialog')
    await dialog.waitFor()
    return { ...ann, dialog }
  }

  test('wait for each other, stay over Escape and a reload, and change only what was touched', async () => {
    const ann = await withTwoConflicts()
    const { page, dialog } = ann
    for (let n = 0; n < 3; n++) await page.keyboard.press('Escape')
    await dialog.waitFor()
    await ann.expectAccessible()
    await page.reload()
    await dialog.getByRole('region', { name: 'Saved' }).getByText('other notes of').waitFor()
    for (let n = 2; n > 0; n--) {
      expect(await dialog.count()).toBe(1)
      await dialog.getByRole('button', { name: 'Keep mine' }).click()
    }
    await expect.poll(ann.titles).toEqual(['my two', 'my one'])
    await ann.expectSaved(['my two', 'my one'])
    await ann.task('my one').getByText('other notes of one').waitFor()
    await ann.task('my two').getByText('other notes of two').waitFor()
  })

  test('a “Keep mine” that fails keeps the text, also over a reload', async () => {
    const { page, dialog, form } = await withTwoConflicts()
    const calls = await hold(page, /tasks\.update/)
    calls.fail()
    await dialog.getByRole('button', { name: 'Keep mine' }).click()
    await dialog.getByRole('button', { name: 'Keep the saved one' }).click()
    await page.getByText('was not saved.').waitFor()
    await page.reload()
    expect(await form.getByLabel('Title').inputValue()).toMatch(/^my /)
  })

  test('a draft from before a reload remembers its version', async () => {
    const ann = await withTask()
    await (await ann.edit('Buy milk')).getByLabel('Title').fill('mine')
    const other = await openTab(ann.context, url)
    const form = await other.edit('Buy milk')
    await form.getByLabel('Title').fill('of the other window')
    await save(other.page, form)
    await ann.page.reload()
    await ann.form.getByRole('button', { name: 'Save' }).click()
    await ann.page.getByRole('dialog').getByText('of the other window').waitFor()
  })

  test('two equal changes are none', async () => {
    const ann = await withTask()
    const other = await openTab(ann.context, url)
    const tick = other.page.getByLabel('Complete “Buy milk”')
    await Promise.all([other.page.waitForResponse(/tasks\.update/), tick.check()])
    await ann.box('Buy milk').check()
    await ann.expectSaved(['Buy milk'])
  })

  test('the text for a task that was deleted meanwhile can be added as a new one', async () => {
    const ann = await withTask()
    const form = await ann.edit('Buy milk')
    await form.getByLabel('Title').fill('Buy oat milk')
    await form.getByLabel('Notes').fill('two bottles')
    const other = await openTab(ann.context, url)
    await other.page.getByLabel('Delete “Buy milk”').click()
    await other.page.getByText('deleted.').waitFor()
    await ann.page.reload()
    await expect.poll(() => ann.form.getByLabel('Notes').inputValue()).toBe('two bottles')
    await ann.form.getByRole('button', { name: 'Save' }).click()
    await ann.page.getByRole('button', { name: 'Add it as a new task' }).click()
    await ann.task('Buy oat milk').getByText('two bottles').waitFor()
    await ann.expectSaved(['Buy oat milk'])
  })
})

describe('tasks that were not added', () => {
  const numbers = ['one', 'two', 'three', 'four', 'five']
  const fillAll = async ({ page, newTask }: Awaited<ReturnType<typeof newPerson>>) => {
    for (const title of numbers) {
      await newTask.fill(title)
      await page.keyboard.press('Enter')
    }
  }

  test('each stays until it is added or given up, also over a reload', async () => {
    const ann = await newPerson('ann')
    const { page } = ann
    const calls = await hold(page, /tasks\.create/)
    calls.fail()
    await fillAll(ann)
    for (const title of numbers) await page.getByText(`“${title}” was not added.`).waitFor()
    await ann.expectAccessible()
    await page.reload()
    for (const title of numbers) await page.getByText(`“${title}” was not added.`).waitFor()
    const inInput = await ann.newTask.inputValue()
    expect(numbers).toContain(inInput)
    calls.letGo()
    await page.getByText(`“${inInput}” was not added.`).locator('..').getByText('Try again').click()
    await expect.poll(ann.titles).toEqual([inInput])
    expect(await ann.newTask.inputValue()).toBe('')
    while ((await page.getByRole('button', { name: 'Try again' }).count()) > 1)
      await page.getByRole('button', { name: 'Try again' }).first().click()
    const [given] = (await page.getByText('was not added.').allTextContents()).map(text => text.split('”')[0])
    await page.getByRole('button', { name: 'Close', exact: true }).click()
    await expect.poll(async () => (await ann.titles()).length).toBe(4)
    await page.reload()
    await expect.poll(async () => (await ann.titles()).length).toBe(4)
    expect(await ann.titles()).not.toContain(given?.slice(1))
    expect(await page.getByText('was not added.').count()).toBe(0)
  })

  test('the title is back before the list is asked again', async () => {
    const ann = await newPerson('ann')
    const { page } = ann
    await page.route(/trpc/, route => route.fulfill({ status: 503, body: 'busy' }))
    await ann.newTask.fill('from the train')
    await page.keyboard.press('Enter')
    await page.waitForTimeout(1_000)
    expect(await ann.newTask.inputValue()).toBe('from the train')
  })

  test('a reload before the answer warns, and brings the text back', async () => {
    const ann = await withTask()
    const { page, form } = ann
    const calls = await hold(page, /tasks\.(create|update)/)
    await ann.newTask.fill('from the train')
    await page.keyboard.press('Enter')
    const opened = await ann.edit('Buy milk')
    await opened.getByLabel('Notes').fill('two bottles')
    await opened.getByLabel('Due').fill('2030-01-01T10:00')
    await opened.getByRole('button', { name: 'Save' }).click()
    await expect.poll(calls.count).toBe(2)
    const warnings: string[] = []
    page.on('dialog', dialog => {
      warnings.push(dialog.type())
      void dialog.accept()
    })
    await page.reload()
    expect(warnings).toEqual(['beforeunload'])
    calls.letGo()
    await expect.poll(() => ann.newTask.inputValue()).toBe('from the train')
    expect(await form.getByLabel('Notes').inputValue()).toBe('two bottles')
    expect(await form.getByLabel('Due').inputValue()).toBe('2030-01-01T10:00')
    await form.getByRole('button', { name: 'Save' }).click()
    await ann.newTask.press('Enter')
    await ann.expectSaved(['from the train', 'Buy milk'])
    expect(warnings).toEqual(['beforeunload'])
  })
})

test('a session that has ended before a reload fills in the email, and what was typed is back after the sign-in', async () => {
  const ann = await withTask()
  const { page } = ann
  await ann.newTask.fill('half a thought')
  await (await ann.edit('Buy milk')).getByLabel('Due').fill('2030-01-01T10:00')
  await ann.context.clearCookies()
  await page.reload()
  await page.getByText('Your session has ended').waitFor()
  expect(await page.getByLabel('Email').inputValue()).toBe(ann.email)
  await page.keyboard.type('correct horse')
  await page.keyboard.press('Enter')
  await expect.poll(() => ann.newTask.inputValue()).toBe('half a thought')
  await expect.poll(() => ann.form.getByLabel('Due').inputValue()).toBe('2030-01-01T10:00')
})

test('a sign-out that fails says so, and what was typed stays', async () => {
  const ann = await newPerson('ann')
  const { page } = ann
  await ann.newTask.fill('half a thought')
  await page.route(/sign-out/, route => route.abort())
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('You are still signed in').waitFor()
  expect(await ann.newTask.inputValue()).toBe('half a thought')
  await page.unroute(/sign-out/)
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.locator('input[name=email]:focus').waitFor()
  expect(await page.getByLabel('Email').inputValue()).toBe('')
  expect(await page.evaluate('JSON.stringify(sessionStorage)')).not.toContain('half a thought')
})

test('a sign-out asks while something is not saved', async () => {
  const ann = await newPerson('ann')
  const { page } = ann
  const calls = await hold(page, /tasks\.create/)
  calls.fail()
  await ann.newTask.fill('from the train')
  await page.keyboard.press('Enter')
  await page.getByText('was not added.').waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('They would be discarded.').waitFor()
  expect(await ann.newTask.inputValue()).toBe('from the train')
  await page.getByRole('button', { name: 'Leave anyway' }).click()
  await page.getByRole('button', { name: 'Sign in' }).waitFor()
})

test('every deletion of two quick ones can be undone, and the keyboard stays in the list', async () => {
  const ann = await withTask('one')
  await ann.add('two', 'three')
  const { page } = ann
  await page.getByLabel('Delete “three”').focus()
  await page.keyboard.press('Enter')
  await page.locator('[aria-label="Delete “two”"]:focus').waitFor()
  await page.keyboard.press('Enter')
  await page.locator('[aria-label="Delete “one”"]:focus').waitFor()
  await expect.poll(() => page.getByRole('button', { name: 'Undo' }).count()).toBe(2)
  for (let n = 0; n < 2; n++) await page.getByRole('button', { name: 'Undo' }).first().click()
  await expect.poll(async () => (await ann.titles()).toSorted()).toEqual(['one', 'three', 'two'])
  await page.locator('h1:focus').waitFor()

  for (const title of ['two', 'three']) await ann.box(title).check()
  await page.locator('.task-done').nth(1).waitFor()
  for (const title of ['two', 'three']) await page.getByLabel(`Delete “${title}”`).click()
  await expect.poll(() => page.getByRole('button', { name: 'Undo' }).count()).toBe(2)
  for (let n = 0; n < 2; n++) await page.getByRole('button', { name: 'Undo' }).first().click()
  await expect.poll(() => page.locator('.task-done').count()).toBe(2)
  await page.waitForTimeout(500)
  await page.reload()
  await expect.poll(() => page.locator('.task-done').count()).toBe(2)

  await page.getByRole('radio', { name: 'Open' }).check()
  await page.getByRole('button', { name: 'Clear all completed, also hidden ones' }).click()
  await page.getByText('2 tasks deleted.').waitFor()
})

test('a change that fails takes back nothing of another task, and a new task shows in spite of a search', async () => {
  const ann = await withTask('one')
  await ann.add('two')
  const { page } = ann
  await page.route(/tasks\.update/, async route => {
    const isOne = route.request().postData()?.includes('"title":"ONE"')
    if (!isOne) return route.continue()
    await page.waitForTimeout(1_000)
    await route.fulfill({ status: 503, body: 'busy' })
  })
  await ann.rename('one', 'ONE')
  await page.waitForTimeout(100)
  await ann.rename('two', 'TWO')
  await page.getByText('was not saved.').waitFor()
  await expect.poll(ann.titles).toEqual(['TWO'])
  await page.getByLabel('Search tasks').fill('nothing like it')
  await page.getByText('No task matches.').waitFor()
  await ann.newTask.fill('three')
  await page.keyboard.press('Enter')
  await page.waitForTimeout(1_000)
  await ann.task('three').waitFor()
})
