import { beforeAll, describe, expect, test } from 'vitest'
import { encodeCursor } from '../../../server/routers/task-cursor.js'
import { refusalOf } from '../../parts/api-error.js'
import { rawCall, sharedApp } from '../../parts/app.js'
import { kindsOfThisRun } from '../../parts/database.js'

const id = '0190a0a0-0000-7000-8000-000000000000'
const at = (time: string) => ({ createdAt: new Date(time), id })
const base64 = (value: unknown) => btoa(JSON.stringify(value))

describe.each(kindsOfThisRun)('a cursor on %s', kind => {
  const app = sharedApp(kind)
  let cursor = ''
  beforeAll(async () => {
    const { create, list } = app().as('alice').tasks
    for (const title of ['one', 'two', 'three']) await create.mutate({ title })
    cursor = (await list.query({ limit: 1 })).nextCursor ?? ''
  })
  const titles = async (input: { cursor?: string | null; direction?: 'forward' }) =>
    (await app().as('alice').tasks.list.query(input)).items.map(task => task.title)

  test('returns the rest of the tasks', async () => {
    expect(await titles({ cursor })).toEqual(['two', 'one'])
  })

  test.each([
    ['null', { cursor: null }],
    ['undefined', { cursor: undefined }],
    ['null, with the direction that tRPC sends', { cursor: null, direction: 'forward' as const }],
  ])('may be %s: the first page', async (_, input) => {
    expect(await titles(input)).toEqual(['three', 'two', 'one'])
  })

  test('goes forward only', async () => {
    expect(await titles({ cursor, direction: 'forward' })).toEqual(['two', 'one'])
    const { status, body } = await rawCall(app(), 'alice', 'tasks.list', { cursor, direction: 'backward' })
    expect(status).toBe(400)
    expect(JSON.parse(body).error.json.data.fields).toHaveProperty('direction')
  })

  test("of another user returns only the caller's own tasks", async () => {
    expect((await app().as('bob').tasks.list.query({ cursor })).items).toEqual([])
  })

  test.each([
    ['the first moment of the year 1', '0001-01-01T00:00:00.000Z', []],
    ['the last moment of the year 9999', '9999-12-31T23:59:59.999Z', ['three', 'two', 'one']],
  ])('may be at %s', async (_, time, expected) => {
    expect(await titles({ cursor: encodeCursor(at(time)) })).toEqual(expected)
  })

  test.each([
    ['empty', () => ''],
    ['a number', () => '2'],
    ['garbage', () => 'garbage'],
    ['not even ASCII', () => '🦊'],
    ['an id', () => id],
    ['cut short', () => cursor.slice(0, -3)],
    ['reversed', () => [...cursor].reverse().join('')],
    ['twice', () => `${cursor}${cursor}`],
    ['in hexadecimal', () => Buffer.from(cursor, 'base64url').toString('hex')],
    ['encoded once more', () => btoa(cursor)],
    ['not encoded', () => atob(cursor.replaceAll('-', '+').replaceAll('_', '/'))],
    ['of another list, an offset', () => base64({ offset: 20 })],
    ['of another list, an id', () => base64(id)],
    ['null inside', () => base64(null)],
    ['a time only', () => base64([0])],
    ['a time that is text', () => base64(['2030-01-01', id])],
    ['a time between milliseconds', () => base64([0.5, id])],
    ['an id that is none', () => base64([0, "' or true --"])],
    ['one thing too many', () => base64([0, id, 1])],
    ['before the year 1', () => encodeCursor(at('0000-12-31T23:59:59.999Z'))],
    ['after the year 9999', () => encodeCursor(at('+010000-01-01T00:00:00.000Z'))],
    ['at the first moment of JavaScript', () => encodeCursor({ createdAt: new Date(-8.64e15), id })],
    ['at an invalid time', () => base64([Number.NaN, id])],
    ['longer than any', () => 'A'.repeat(5_000)],
  ])('that is %s is refused with its field name', async (_, make) => {
    const { data } = await refusalOf(app().as('alice').tasks.list.query({ cursor: make() }))
    expect(data).toMatchObject({ code: 'BAD_REQUEST', fields: { cursor: [expect.any(String)] } })
  })

  test.each([[0], [20], [true], [{}], [[]]])('that is %j is refused with its field name', async value => {
    const { status, body } = await rawCall(app(), 'alice', 'tasks.list', { cursor: value })
    expect(status).toBe(400)
    expect(JSON.parse(body).error.json.data.fields).toHaveProperty('cursor')
  })
})
