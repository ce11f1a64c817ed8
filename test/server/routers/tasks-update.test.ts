import { describe, expect, test } from 'vitest'
import { refusalOf } from '../../parts/api-error.js'
import { rawCall, sharedApp, somebody } from '../../parts/app.js'
import { kindsOfThisRun } from '../../parts/database.js'

describe.each(kindsOfThisRun)('updating a task on %s', kind => {
  const app = sharedApp(kind)
  const dueAt = new Date('2030-01-02T03:04:05.678Z')
  const create = () => app().as('alice').tasks.create.mutate({ title: 'Plan', notes: 'As it was', dueAt })

  test.each([
    ['title', { title: ' Trimmed ' }, { title: 'Trimmed' }],
    ['notes', { notes: ' As they are ' }, { notes: ' As they are ' }],
    ['notes, which may be emptied', { notes: '' }, { notes: '' }],
    ['completed', { completed: true }, { completed: true }],
    [
      'dueAt',
      { dueAt: new Date('1999-12-31T23:59:59.999Z') },
      { dueAt: new Date('1999-12-31T23:59:59.999Z') },
    ],
    ['dueAt, which null takes away', { dueAt: null }, { dueAt: null }],
    [
      'a field beside undefined ones',
      { completed: true, title: undefined, notes: undefined, dueAt: undefined, version: undefined },
      { completed: true },
    ],
  ])('a patch changes %s and nothing else', async (_, patch, change) => {
    const task = await create()
    const updated = await app()
      .as('alice')
      .tasks.update.mutate({ id: task.id, ...patch })
    expect(updated).toEqual({ ...task, ...change, version: 2, updatedAt: expect.any(Date) })
    expect(updated.updatedAt.getTime()).toBeGreaterThanOrEqual(task.updatedAt.getTime())
    expect(await app().as('alice').tasks.get.query({ id: task.id })).toEqual(updated)
  })

  test.each([
    ['nothing', {}],
    ['undefined fields only', { title: undefined, dueAt: undefined }],
    ['a version only', { version: 1 }],
    ['unknown keys only', { titel: 'Typo', user_id: 'bob' }],
  ])('a patch of %s is a bad request', async (_, patch) => {
    const task = await create()
    const alice = app().as('alice')
    const { data } = await refusalOf(alice.tasks.update.mutate({ id: task.id, ...patch }))
    expect(data?.code).toBe('BAD_REQUEST')
    expect(await alice.tasks.get.query({ id: task.id })).toEqual(task)
  })

  test('unknown keys are removed: the owner, creation time and id cannot be set', async () => {
    const task = await create()
    const stray = {
      user_id: 'bob',
      userId: 'bob',
      createdAt: new Date(0),
      created_at: '1970-01-01',
      updatedAt: new Date(0),
    }
    const updated = await app()
      .as('alice')
      .tasks.update.mutate({ id: task.id, title: 'Still hers', ...stray })
    expect(updated).toEqual({ ...task, title: 'Still hers', version: 2, updatedAt: expect.any(Date) })
    expect(updated.updatedAt.getTime()).toBeGreaterThanOrEqual(task.updatedAt.getTime())
  })

  test('the version grows with every accepted update, even without a change', async () => {
    const task = await create()
    const { update } = app().as('alice').tasks
    expect((await update.mutate({ id: task.id, version: 1, title: 'Two' })).version).toBe(2)
    expect((await update.mutate({ id: task.id, version: 2, title: 'Two' })).version).toBe(3)
    expect((await update.mutate({ id: task.id, completed: true })).version).toBe(4)
  })

  test('an old version is a conflict with the current task', async () => {
    const task = await create()
    const alice = app().as('alice')
    const current = await alice.tasks.update.mutate({ id: task.id, notes: 'By another tab' })
    const { data } = await refusalOf(
      alice.tasks.update.mutate({ id: task.id, version: 1, notes: 'Late', dueAt: null }),
    )
    expect(data).toMatchObject({ code: 'CONFLICT', httpStatus: 409 })
    expect(data?.current).toEqual(current)
    expect(data?.current?.dueAt).toEqual(dueAt)
    expect(data?.current?.createdAt).toBeInstanceOf(Date)
    expect(await alice.tasks.get.query({ id: task.id })).toEqual(current)
  })

  test('a future version is a conflict too', async () => {
    const task = await create()
    const call = app()
      .as('alice')
      .tasks.update.mutate({ id: task.id, version: 2_147_483_647, title: 'Ahead' })
    expect((await refusalOf(call)).data).toMatchObject({ code: 'CONFLICT', current: task })
  })

  test('without a version the last write wins', async () => {
    const task = await create()
    const { update } = app().as('alice').tasks
    await update.mutate({ id: task.id, title: 'First' })
    expect(await update.mutate({ id: task.id, title: 'Last' })).toMatchObject({ title: 'Last', version: 3 })
  })

  test('one of ten parallel updates from one version is accepted', async () => {
    const name = somebody()
    const { id } = await app().as(name).tasks.create.mutate({ title: 'Contested' })
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, number) =>
        app()
          .as(name)
          .tasks.update.mutate({ id, version: 1, title: `Try ${number}` }),
      ),
    )
    const accepted = outcomes.filter(outcome => outcome.status === 'fulfilled').map(({ value }) => value)
    expect(accepted).toEqual([await app().as(name).tasks.get.query({ id })])
    const refused = outcomes.filter(outcome => outcome.status === 'rejected').map(({ reason }) => reason.data)
    expect(refused).toEqual(
      Array.from({ length: 9 }, () => expect.objectContaining({ code: 'CONFLICT', current: accepted[0] })),
    )
  })

  test('ten parallel updates without a version all count', async () => {
    const name = somebody()
    const { id } = await app().as(name).tasks.create.mutate({ title: 'Busy' })
    const versions = await Promise.all(
      Array.from({ length: 10 }, async (_, number) => {
        const task = await app()
          .as(name)
          .tasks.update.mutate({ id, title: `Edit ${number}` })
        return task.version
      }),
    )
    expect(versions.toSorted((a, b) => a - b)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  })

  test.each([0, -1, 1.5, 2 ** 31, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, '1', null])(
    'the version %s is refused by name',
    async version => {
      const task = await create()
      const { status, body } = await rawCall(app(), 'alice', 'tasks.update', {
        id: task.id,
        version,
        title: 'No',
      })
      expect(status).toBe(400)
      expect(JSON.parse(body).error.json.data.fields).toHaveProperty('version')
    },
  )
})
