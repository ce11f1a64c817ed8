import { beforeAll, describe, expect, test } from 'vitest'
import { refusalOf } from '../../parts/api-error.js'
import { sharedApp, somebody } from '../../parts/app.js'
import { kindsOfThisRun } from '../../parts/database.js'

describe.each(kindsOfThisRun)('listing tasks on %s', kind => {
  const app = sharedApp(kind)
  const reader = somebody()
  const tasks = [
    { title: '100% sure' },
    { title: '100 sure' },
    { title: 'snake_case' },
    { title: 'snakeXcase' },
    { title: 'C:\\temp' },
    { title: 'C:temp' },
    { title: 'Plain', notes: 'ends in a backslash \\' },
    { title: 'Other', notes: 'Reminder: call the BANK' },
    { title: 'Feed the 🦊' },
  ]
  const titles = async (input: { search?: string; status?: 'all' | 'open' | 'done' }) =>
    (await app().as(reader).tasks.list.query(input)).items.map(task => task.title)

  beforeAll(async () => {
    const { create, update } = app().as(reader).tasks
    for (const task of tasks) {
      const { id } = await create.mutate(task)
      if (task.title.startsWith('C')) await update.mutate({ id, completed: true })
    }
    await app().as('bob').tasks.create.mutate({ title: '100% snake_case C:\\temp bank' })
  })

  test('the newest task comes first', async () => {
    expect(await titles({})).toEqual(tasks.map(task => task.title).toReversed())
  })

  test.each([
    ['%', ['100% sure']],
    ['0%', ['100% sure']],
    ['_', ['snake_case']],
    ['E_C', ['snake_case']],
    ['\\', ['Plain', 'C:\\temp']],
    ['\\t', ['C:\\temp']],
    ['\\\\', []],
    ['\\%', []],
    ['SURE', ['100 sure', '100% sure']],
    ['bank', ['Other']],
    ['call the', ['Other']],
    ['🦊', ['Feed the 🦊']],
    ["'", []],
    ['nothing like it', []],
  ])('the search %j is literal and case-insensitive, in title and notes', async (search, expected) => {
    expect(await titles({ search })).toEqual(expected)
  })

  test('an empty search is ignored', async () => {
    expect(await titles({ search: '' })).toHaveLength(tasks.length)
  })

  test('a search may have 200 characters', async () => {
    expect(await titles({ search: '🦊'.repeat(200) })).toEqual([])
  })

  test.each([
    ['of 201 characters', '🦊'.repeat(201)],
    ['with a NUL', 'a\0'],
    ['with a lone surrogate', 'a\ud83e'],
  ])('a search %s is refused with its field name', async (_, search) => {
    const { data } = await refusalOf(app().as(reader).tasks.list.query({ search }))
    expect(data).toMatchObject({ code: 'BAD_REQUEST', fields: { search: [expect.any(String)] } })
  })

  test('a status shows the open tasks, the done ones, or all', async () => {
    expect(await titles({ status: 'done' })).toEqual(['C:temp', 'C:\\temp'])
    expect(await titles({ status: 'open' })).toHaveLength(tasks.length - 2)
    expect(await titles({ status: 'all' })).toHaveLength(tasks.length)
    expect(await titles({ status: 'open', search: 'temp' })).toEqual([])
    expect(await titles({ status: 'done', search: '\\' })).toEqual(['C:\\temp'])
  })

  test('a page has twenty tasks by default, and the last page has no cursor', async () => {
    const many = app().as(somebody())
    await Promise.all(
      Array.from({ length: 21 }, (_, number) => many.tasks.create.mutate({ title: `Task ${number}` })),
    )
    const page = await many.tasks.list.query()
    expect(page.items).toHaveLength(20)
    expect(page.nextCursor).toEqual(expect.any(String))
    const rest = await many.tasks.list.query({ cursor: page.nextCursor })
    expect(rest).toEqual({ items: [expect.any(Object)], nextCursor: null })
    expect((await many.tasks.list.query({ limit: 21 })).nextCursor).toBeNull()
  })
})
