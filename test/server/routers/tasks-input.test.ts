import { describe, expect, test } from 'vitest'
import { refusalOf } from '../../parts/api-error.js'
import { rawCall, sharedApp } from '../../parts/app.js'
import { kindsOfThisRun } from '../../parts/database.js'

const long = (length: number) => '🦊'.repeat(length)

describe.each(kindsOfThisRun)('the input of tasks on %s', kind => {
  const app = sharedApp(kind)

  test.each([
    ['a title of one character', { title: '.' }],
    ['a title of 500 characters beyond the basic plane', { title: long(500) }],
    ['notes of 10 000 characters beyond the basic plane', { title: 'Long', notes: long(10_000) }],
    ['text that looks like SQL', { title: "'; drop table tasks; --", notes: '$1 \\ ` %s {0}' }],
    ['control characters and odd spaces', { title: 'a\u0001\u200b\u202eb', notes: '\u0007\ufeff\uffff' }],
    ['text in two normal forms', { title: 'e\u0301 \u00e9', notes: 'ﬁ' }],
  ])('%s is stored unchanged', async (_, given) => {
    const alice = app().as('alice')
    const task = await alice.tasks.create.mutate(given)
    expect(task).toMatchObject(given)
    expect(await alice.tasks.get.query({ id: task.id })).toEqual(task)
    expect(await alice.tasks.update.mutate({ id: task.id, ...given })).toMatchObject(given)
  })

  test.each([
    ['a NUL in the title', 'title', { title: 'a\0b' }],
    ['a lone high surrogate in the title', 'title', { title: 'a\ud83e' }],
    ['a lone low surrogate in the title', 'title', { title: '\udd8ab' }],
    ['a title of 501 characters', 'title', { title: long(501) }],
    ['an empty title', 'title', { title: '' }],
    ['a blank title', 'title', { title: ' \t\n\u00a0\u2003' }],
    ['a NUL in the notes', 'notes', { title: 'Fine', notes: '\0' }],
    ['a lone surrogate in the notes', 'notes', { title: 'Fine', notes: '\ud83e\ud83e' }],
    ['notes of 10 001 characters', 'notes', { title: 'Fine', notes: long(10_001) }],
    ['an invalid date', 'dueAt', { title: 'Fine', dueAt: new Date(Number.NaN) }],
    ['a date before the year 1', 'dueAt', { title: 'Fine', dueAt: new Date('0000-12-31T23:59:59.999Z') }],
    ['a date after the year 9999', 'dueAt', { title: 'Fine', dueAt: new Date('+010000-01-01T00:00:00Z') }],
    ['the last date of JavaScript', 'dueAt', { title: 'Fine', dueAt: new Date(8.64e15) }],
  ])('%s is refused with its field name, on create and on update', async (_, field, input) => {
    const alice = app().as('alice')
    const task = await alice.tasks.create.mutate({ title: 'As it was', dueAt: new Date(0) })
    const calls = [alice.tasks.create.mutate(input), alice.tasks.update.mutate({ id: task.id, ...input })]
    for (const { data, message } of await Promise.all(calls.map(refusalOf))) {
      expect(data).toMatchObject({ code: 'BAD_REQUEST', fields: { [field]: expect.any(Array) } })
      expect(Object.keys(data?.fields ?? {})).toEqual([field])
      expect(message).toContain(field)
    }
    expect(await alice.tasks.get.query({ id: task.id })).toEqual(task)
  })

  test.each([
    ['tasks.create', 'title', {}],
    ['tasks.create', 'title', { title: 5 }],
    ['tasks.create', 'title', { title: null }],
    ['tasks.create', 'notes', { title: 'Fine', notes: null }],
    ['tasks.create', 'dueAt', { title: 'Fine', dueAt: '2030-01-01' }],
    ['tasks.create', 'dueAt', { title: 'Fine', dueAt: 0 }],
    ['tasks.update', 'completed', { id: crypto.randomUUID(), completed: 'yes' }],
    ['tasks.get', 'id', {}],
    ['tasks.delete', 'id', { id: null }],
    ['tasks.list', 'limit', { limit: 0 }],
    ['tasks.list', 'limit', { limit: 101 }],
    ['tasks.list', 'limit', { limit: 1.5 }],
    ['tasks.list', 'status', { status: 'closed' }],
  ])('%s names %s for %j', async (procedure, field, input) => {
    const { status, body } = await rawCall(app(), 'alice', procedure, input)
    expect(status).toBe(400)
    expect(JSON.parse(body).error.json.data).toMatchObject({
      code: 'BAD_REQUEST',
      fields: { [field]: [expect.any(String)] },
    })
  })

  test('several wrong fields are all named', async () => {
    const call = app()
      .as('alice')
      .tasks.create.mutate({ id: 'x', title: ' ', notes: '\0', dueAt: new Date(Number.NaN) })
    const { data } = await refusalOf(call)
    expect(Object.keys(data?.fields ?? {}).toSorted()).toEqual(['dueAt', 'id', 'notes', 'title'])
  })

  test.each([
    '0001-01-01T00:00:00.000Z',
    '0099-12-31T12:00:00.001Z',
    '1582-10-10T00:00:00.000Z',
    '1850-01-01T00:00:00.000Z',
    '1969-12-31T23:59:59.999Z',
    '2016-12-31T23:59:59.999Z',
    '9999-12-31T23:59:59.999Z',
  ])('dueAt %s is returned to the millisecond', async time => {
    const alice = app().as('alice')
    const { id } = await alice.tasks.create.mutate({ title: 'When', dueAt: new Date(time) })
    expect((await alice.tasks.get.query({ id })).dueAt?.toISOString()).toBe(time)
    await alice.tasks.update.mutate({ id, dueAt: null })
    expect((await alice.tasks.update.mutate({ id, dueAt: new Date(time) })).dueAt?.toISOString()).toBe(time)
    const { data } = await refusalOf(alice.tasks.update.mutate({ id, version: 1, title: 'Late' }))
    expect(data?.current?.dueAt?.toISOString()).toBe(time)
  })
})
