import { describe, expect, test } from 'vitest'
import { refusalOf } from '../../parts/api-error.js'
import { sharedApp, somebody } from '../../parts/app.js'
import { kindsOfThisRun } from '../../parts/database.js'

describe.each(kindsOfThisRun)("creating a task with a client's id on %s", kind => {
  const app = sharedApp(kind)

  test('the same id again returns the current task and changes nothing', async () => {
    const alice = app().as('alice')
    const id = crypto.randomUUID()
    const first = await alice.tasks.create.mutate({ id, title: 'Once', notes: 'kept', dueAt: new Date(0) })
    expect(first).toMatchObject({ id, version: 1 })
    expect(await alice.tasks.create.mutate({ id, title: 'Twice' })).toEqual(first)
    const updated = await alice.tasks.update.mutate({ id, title: 'Changed', completed: true })
    expect(await alice.tasks.create.mutate({ id, title: 'Once', notes: 'kept' })).toEqual(updated)
    expect(await alice.tasks.get.query({ id })).toEqual(updated)
  })

  test('twenty parallel creates with one id create one task and all return it', async () => {
    const name = somebody()
    await app().tokenOf(name)
    const id = crypto.randomUUID()
    const answers = await Promise.all(
      // One client each, because one client would send all in one request.
      Array.from({ length: 20 }, (_, number) =>
        app()
          .as(name)
          .tasks.create.mutate({ id, title: `Try ${number}` }),
      ),
    )
    const { items } = await app().as(name).tasks.list.query()
    expect(items).toHaveLength(1)
    expect(answers).toEqual(Array.from({ length: 20 }, () => items[0]))
  })

  test('another user may use the same id for their own task', async () => {
    const [alice, bob] = [app().as('alice'), app().as('bob')]
    const id = crypto.randomUUID()
    const hers = await alice.tasks.create.mutate({ id, title: 'Hers' })
    const his = await bob.tasks.create.mutate({ id, title: 'His' })
    expect([hers.title, his.title]).toEqual(['Hers', 'His'])
    await bob.tasks.delete.mutate({ id })
    expect(await alice.tasks.get.query({ id })).toEqual(hers)
  })

  test('after a deletion the id is free again', async () => {
    const alice = app().as('alice')
    const id = crypto.randomUUID()
    await alice.tasks.create.mutate({ id, title: 'Old', notes: 'old' })
    await alice.tasks.update.mutate({ id, completed: true })
    await alice.tasks.delete.mutate({ id })
    const fresh = { id, title: 'New', notes: '', completed: false, version: 1 }
    expect(await alice.tasks.create.mutate({ id, title: 'New' })).toMatchObject(fresh)
  })

  test.each([
    ['version 4', () => crypto.randomUUID()],
    ['no version at all', () => '11111111-1111-1111-1111-111111111111'],
    ['nothing but zeros', () => '00000000-0000-0000-0000-000000000000'],
  ])('an id may be a UUID of %s', async (_, makeId) => {
    const id = makeId()
    expect((await app().as('alice').tasks.create.mutate({ id, title: 'Any' })).id).toBe(id)
  })

  test('an id is stored in lower case, and every procedure accepts either case', async () => {
    const alice = app().as('alice')
    const id = crypto.randomUUID()
    const upper = id.toUpperCase()
    const task = await alice.tasks.create.mutate({ id: upper, title: 'Case' })
    expect(task.id).toBe(id)
    expect(await alice.tasks.create.mutate({ id, title: 'Same' })).toEqual(task)
    expect(await alice.tasks.get.query({ id: upper })).toEqual(task)
    expect((await alice.tasks.update.mutate({ id: upper, completed: true })).id).toBe(id)
    expect(await alice.tasks.delete.mutate({ id: upper })).toEqual({ id })
  })

  test.each([
    '',
    'milk',
    '1',
    `{${crypto.randomUUID()}}`,
    `${crypto.randomUUID()}0`,
    crypto.randomUUID().replaceAll('-', ''),
  ])('the id %j is refused with its field name in every procedure', async id => {
    const { create, get, update, delete: remove } = app().as('alice').tasks
    const refusals = await Promise.all([
      refusalOf(create.mutate({ id, title: 'No' })),
      refusalOf(get.query({ id })),
      refusalOf(update.mutate({ id, title: 'No' })),
      refusalOf(remove.mutate({ id })),
    ])
    for (const { data } of refusals) {
      expect(data).toMatchObject({ code: 'BAD_REQUEST', fields: { id: [expect.any(String)] } })
    }
  })
})
