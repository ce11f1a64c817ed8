import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startApp } from './parts/app.js'
import { databaseKinds } from './parts/database.js'

describe.each(databaseKinds)('tasks on %s', kind => {
  let app: Awaited<ReturnType<typeof startApp>>
  beforeAll(async () => {
    app = await startApp(kind)
  })
  afterAll(() => app[Symbol.asyncDispose]())

  test('a task is created with its defaults and read back as it is', async () => {
    const alice = app.as('alice')
    const task = await alice.tasks.create.mutate({ title: '  Buy milk ' })
    expect(task).toMatchObject({ title: 'Buy milk', notes: '', completed: false, dueAt: null, version: 1 })
    expect(await alice.tasks.get.query({ id: task.id })).toEqual(task)
  })

  test("bob cannot delete alice's task", async () => {
    const task = await app.as('alice').tasks.create.mutate({ title: 'milk' })
    await expect(app.as('bob').tasks.delete.mutate({ id: task.id })).rejects.toMatchObject({
      data: { code: 'NOT_FOUND' },
    })
  })
})
