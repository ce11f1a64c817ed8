import { describe, expect, test } from 'vitest'
import { refusalOf } from '../../parts/api-error.js'
import { rawCall, sharedApp, somebody } from '../../parts/app.js'
import { databaseKinds } from '../../parts/database.js'

const missing = '11111111-1111-1111-1111-111111111111'

describe.each(databaseKinds)('tasks on %s', kind => {
  const app = sharedApp(kind)

  test('a task is created with its defaults and read back as it is', async () => {
    const alice = app().as('alice')
    const before = Date.now()
    const task = await alice.tasks.create.mutate({ title: '  Buy milk ' })
    expect(task).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      title: 'Buy milk',
      notes: '',
      completed: false,
      dueAt: null,
      createdAt: expect.any(Date),
      updatedAt: task.createdAt,
      version: 1,
    })
    expect(Math.abs(task.createdAt.getTime() - before)).toBeLessThan(60_000)
    expect(await alice.tasks.get.query({ id: task.id })).toEqual(task)
  })

  test('a task keeps the fields that it was created with', async () => {
    const alice = app().as('alice')
    const given = {
      title: 'Sow',
      notes: ' Radishes\nand "peas" \t',
      dueAt: new Date('2031-05-01T08:00:00.123Z'),
    }
    const task = await alice.tasks.create.mutate(given)
    expect(task).toMatchObject(given)
    expect(await alice.tasks.get.query({ id: task.id })).toEqual(task)
  })

  test('deleting a task returns its id, and the task is gone', async () => {
    const alice = app().as('alice')
    const { id } = await alice.tasks.create.mutate({ title: 'Short-lived' })
    expect(await alice.tasks.delete.mutate({ id })).toEqual({ id })
    expect((await refusalOf(alice.tasks.get.query({ id }))).data?.code).toBe('NOT_FOUND')
    expect((await refusalOf(alice.tasks.delete.mutate({ id }))).data?.code).toBe('NOT_FOUND')
  })

  test("no user sees another user's task", async () => {
    const [alice, bob] = [app().as(somebody()), app().as(somebody())]
    const task = await alice.tasks.create.mutate({ title: 'Secret' })
    expect(await bob.tasks.list.query()).toEqual({ items: [], nextCursor: null })
    expect(await alice.tasks.list.query()).toEqual({ items: [task], nextCursor: null })
  })

  test.each([
    ['tasks.get', {}],
    ['tasks.delete', {}],
    ['tasks.update', { title: 'Mine now' }],
    ['tasks.update', { title: 'Mine now', version: 1 }],
    ['tasks.update', { title: 'Mine now', version: 7 }],
  ])("%s %j gives the same bytes for another user's task and for a missing one", async (procedure, rest) => {
    const alice = app().as('alice')
    const task = await alice.tasks.create.mutate({ title: 'Hers' })
    const others = await rawCall(app(), 'bob', procedure, { id: task.id, ...rest })
    expect(others).toEqual(await rawCall(app(), 'bob', procedure, { id: missing, ...rest }))
    expect(others.status).toBe(404)
    expect(others.body).not.toContain(task.id)
    expect(await alice.tasks.get.query({ id: task.id })).toEqual(task)
  })

  test("clearCompleted deletes and counts only the caller's completed tasks", async () => {
    const [alice, bob] = [app().as(somebody()), app().as(somebody())]
    const done = async (person: typeof alice, title: string) => {
      const { id } = await person.tasks.create.mutate({ title })
      return person.tasks.update.mutate({ id, completed: true })
    }
    const open = await alice.tasks.create.mutate({ title: 'Open' })
    await Promise.all([done(alice, 'One'), done(alice, 'Two')])
    const hisDone = await done(bob, 'His')
    expect(await alice.tasks.clearCompleted.mutate()).toEqual({ count: 2 })
    expect(await alice.tasks.clearCompleted.mutate()).toEqual({ count: 0 })
    expect((await alice.tasks.list.query()).items).toEqual([open])
    expect((await bob.tasks.list.query()).items).toEqual([hisDone])
  })
})
