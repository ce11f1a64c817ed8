import { expect, test } from 'vitest'
import type { ZodType } from 'zod'
import {
  taskCreateInput,
  taskIdInput,
  taskListInput,
  taskPatch,
  taskUpdateInput,
} from '../../shared/index.js'

const id = '0190e5a8-7b1c-7abc-8def-0123456789ab'
/** Characters of two UTF-16 units, because lengths count code points. */
const foxes = (count: number) => '🦊'.repeat(count)
const list = { limit: 20, status: 'all' }

type Case = [what: string, schema: ZodType, input: unknown, output: unknown]

const accepted: Case[] = [
  ['a title, trimmed', taskCreateInput, { title: ' \t Buy\u00a0 milk\n' }, { title: 'Buy\u00a0 milk' }],
  ['a title of one character', taskCreateInput, { title: '🦊' }, { title: '🦊' }],
  ['a title of 500 characters', taskCreateInput, { title: foxes(500) }, { title: foxes(500) }],
  ['a title of 500 and spaces', taskCreateInput, { title: ` ${foxes(500)} ` }, { title: foxes(500) }],
  ['notes of 10,000 characters', taskPatch, { notes: foxes(10_000) }, { notes: foxes(10_000) }],
  ['empty notes', taskPatch, { notes: '' }, { notes: '' }],
  ['notes with spaces around, kept', taskPatch, { notes: ' \n ' }, { notes: ' \n ' }],
  [
    'controls, a BOM inside, noncharacters',
    taskPatch,
    { notes: '\u0001\ufeff\uffff' },
    { notes: '\u0001\ufeff\uffff' },
  ],
  ['no due date', taskCreateInput, { title: 'a', dueAt: null }, { title: 'a', dueAt: null }],
  ['a task with an id', taskCreateInput, { id, title: 'a' }, { id, title: 'a' }],
  ['unknown keys, stripped', taskCreateInput, { title: 'a', userId: 'bob', version: 9 }, { title: 'a' }],
  ['undefined as absent', taskCreateInput, { id: undefined, title: 'a', notes: undefined }, { title: 'a' }],
  ['an update of one field', taskUpdateInput, { id, completed: false }, { id, completed: false }],
  ['a due date taken away', taskUpdateInput, { id, dueAt: null }, { id, dueAt: null }],
  ['undefined beside a change', taskUpdateInput, { id, title: undefined, notes: '' }, { id, notes: '' }],
  ['an update with unknown keys, stripped', taskUpdateInput, { id, notes: '', x: 1 }, { id, notes: '' }],
  ['the first version', taskUpdateInput, { id, notes: '', version: 1 }, { id, notes: '', version: 1 }],
  [
    'the last version of int4',
    taskUpdateInput,
    { id, notes: '', version: 2_147_483_647 },
    { id, notes: '', version: 2_147_483_647 },
  ],
  ['an empty patch by itself', taskPatch, {}, {}],
  ['no list input', taskListInput, undefined, list],
  ['an empty list input', taskListInput, {}, list],
  ['undefined list fields', taskListInput, { limit: undefined, status: undefined, search: undefined }, list],
  ['a limit of 1', taskListInput, { limit: 1 }, { ...list, limit: 1 }],
  ['a limit of 100', taskListInput, { limit: 100 }, { ...list, limit: 100 }],
  ['a cursor of null', taskListInput, { cursor: null }, { ...list, cursor: null }],
  ['a cursor', taskListInput, { cursor: 'WzAs' }, { ...list, cursor: 'WzAs' }],
  ['direction forward', taskListInput, { direction: 'forward' }, { ...list, direction: 'forward' }],
  ['status open', taskListInput, { status: 'open' }, { ...list, status: 'open' }],
  ['status done', taskListInput, { status: 'done' }, { ...list, status: 'done' }],
  ['an empty search', taskListInput, { search: '' }, { ...list, search: '' }],
  ['a search of 200', taskListInput, { search: foxes(200) }, { ...list, search: foxes(200) }],
  ['a search as it is', taskListInput, { search: ' %_\\ ' }, { ...list, search: ' %_\\ ' }],
]

test.each(accepted)('%s is accepted', (_, schema, input, output) => {
  expect(schema.parse(input)).toEqual(output)
})

test('the schemas add no defaults: the database has them', () => {
  expect(Object.keys(taskUpdateInput.parse({ id, completed: true })).sort()).toEqual(['completed', 'id'])
  expect(Object.keys(taskCreateInput.parse({ title: 'a' }))).toEqual(['title'])
})

type Refusal = [what: string, schema: ZodType, input: unknown, field: string]

const refused: Refusal[] = [
  ['no title', taskCreateInput, {}, 'title'],
  ['a title of null', taskCreateInput, { title: null }, 'title'],
  ['a title that is a number', taskCreateInput, { title: 1 }, 'title'],
  ['an empty title', taskCreateInput, { title: '' }, 'title'],
  ['a blank title', taskCreateInput, { title: ' \t\r\n\u00a0\u2003\u3000\ufeff' }, 'title'],
  ['a title of 501 characters', taskCreateInput, { title: foxes(501) }, 'title'],
  ['a NUL in a title', taskCreateInput, { title: 'a\0b' }, 'title'],
  ['a title of one NUL', taskCreateInput, { title: '\0' }, 'title'],
  ['a lone high surrogate', taskCreateInput, { title: 'a\ud83e' }, 'title'],
  ['a lone low surrogate', taskCreateInput, { title: '\udd8aa' }, 'title'],
  ['a pair the wrong way round', taskCreateInput, { title: '\udd8a\ud83e' }, 'title'],
  ['notes of 10,001 characters', taskCreateInput, { title: 'a', notes: foxes(10_001) }, 'notes'],
  ['a NUL in notes', taskCreateInput, { title: 'a', notes: '\0' }, 'notes'],
  ['a lone surrogate in notes', taskCreateInput, { title: 'a', notes: '\ud83e' }, 'notes'],
  ['notes of null', taskCreateInput, { title: 'a', notes: null }, 'notes'],
  ['a blank title in a patch', taskUpdateInput, { id, title: ' ' }, 'title'],
  ['a long title in a patch', taskUpdateInput, { id, title: foxes(501) }, 'title'],
  ['a title of null in a patch', taskUpdateInput, { id, title: null }, 'title'],
  ['long notes in a patch', taskUpdateInput, { id, notes: foxes(10_001) }, 'notes'],
  ['completed as text', taskUpdateInput, { id, completed: 'true' }, 'completed'],
  ['completed as null', taskUpdateInput, { id, completed: null }, 'completed'],
  ['version 0', taskUpdateInput, { id, notes: '', version: 0 }, 'version'],
  ['a negative version', taskUpdateInput, { id, notes: '', version: -1 }, 'version'],
  ['a version with a fraction', taskUpdateInput, { id, notes: '', version: 1.5 }, 'version'],
  ['a version beyond int4', taskUpdateInput, { id, notes: '', version: 2_147_483_648 }, 'version'],
  ['a version that is no number', taskUpdateInput, { id, notes: '', version: Number.NaN }, 'version'],
  ['a version as a bigint', taskUpdateInput, { id, notes: '', version: 1n }, 'version'],
  ['an update without an id', taskUpdateInput, { notes: '' }, 'id'],
  ['an empty patch', taskUpdateInput, { id }, ''],
  ['a patch of undefined', taskUpdateInput, { id, title: undefined, dueAt: undefined }, ''],
  ['a patch of unknown keys', taskUpdateInput, { id, colour: 'red' }, ''],
  ['a patch of a version', taskUpdateInput, { id, version: 1 }, ''],
  ['a list input of null', taskListInput, null, ''],
  ['a limit of 0', taskListInput, { limit: 0 }, 'limit'],
  ['a limit of 101', taskListInput, { limit: 101 }, 'limit'],
  ['a limit with a fraction', taskListInput, { limit: 1.5 }, 'limit'],
  ['a limit as text', taskListInput, { limit: '20' }, 'limit'],
  ['a cursor that is a number', taskListInput, { cursor: 1 }, 'cursor'],
  ['a cursor without end', taskListInput, { cursor: 'W'.repeat(10_000) }, 'cursor'],
  ['direction backward', taskListInput, { direction: 'backward' }, 'direction'],
  ['an unknown status', taskListInput, { status: 'late' }, 'status'],
  ['a search of 201', taskListInput, { search: foxes(201) }, 'search'],
  ['a NUL in a search', taskListInput, { search: 'a\0' }, 'search'],
  ['a lone surrogate in a search', taskListInput, { search: '\ud83e' }, 'search'],
]

test.each(refused)('%s is refused, and the field is named', (_, schema, input, field) => {
  const { error } = schema.safeParse(input)
  expect(error?.issues.map(({ path }) => path.join('.'))).toEqual([field])
})

test.each([
  ['version 7', id, id],
  ['version 4', '3f333df6-90a4-4fda-8dd3-9485d27cee36', '3f333df6-90a4-4fda-8dd3-9485d27cee36'],
  ['version 1', 'c232ab00-9414-11ec-b3c8-9f6bdeced846', 'c232ab00-9414-11ec-b3c8-9f6bdeced846'],
  ['no version', '11111111-1111-1111-1111-111111111111', '11111111-1111-1111-1111-111111111111'],
  ['zeros', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000'],
  ['ones', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  ['upper case', id.toUpperCase(), id],
])('a UUID of %s is an id everywhere, in lower case', (_, given, kept) => {
  expect(taskIdInput.parse({ id: given })).toEqual({ id: kept })
  expect(taskCreateInput.parse({ id: given, title: 'a' })).toEqual({ id: kept, title: 'a' })
  expect(taskUpdateInput.parse({ id: given, notes: '' })).toEqual({ id: kept, notes: '' })
})

test.each([
  ['empty text', ''],
  ['text', 'milk'],
  ['a UUID without dashes', id.replaceAll('-', '')],
  ['a UUID in braces', `{${id}}`],
  ['a UUID as a URN', `urn:uuid:${id}`],
  ['a UUID and a line end', `${id}\n`],
  ['a UUID with spaces around', ` ${id} `],
  ['a UUID that is too short', id.slice(1)],
  ['a UUID with a letter beyond f', id.replace('a', 'g')],
  ['a number', 1],
  ['null', null],
])('%s is not an id anywhere', (_, given) => {
  for (const schema of [taskIdInput, taskCreateInput, taskUpdateInput]) {
    const { error } = schema.safeParse({ id: given, title: 'a' })
    expect(error?.issues.map(({ path }) => path.join('.'))).toEqual(['id'])
  }
})

test.each(['0001-01-01T00:00:00.000Z', '1850-06-01T00:00:00.001Z', '9999-12-31T23:59:59.999Z'])(
  '%s is a due date',
  text => {
    const dueAt = new Date(text)
    expect(taskCreateInput.parse({ title: 'a', dueAt })).toEqual({ title: 'a', dueAt })
    expect(taskUpdateInput.parse({ id, dueAt })).toEqual({ id, dueAt })
  },
)

test.each([
  ['the last moment before year 1', new Date('0000-12-31T23:59:59.999Z')],
  ['the first moment of year 10000', new Date('+010000-01-01T00:00:00.000Z')],
  ['the last date that JavaScript has', new Date(8.64e15)],
  ['an invalid date', new Date(Number.NaN)],
  ['text', '2026-01-01T00:00:00.000Z'],
  ['a number', 0],
])('%s is not a due date', (_, dueAt) => {
  for (const schema of [taskCreateInput, taskUpdateInput]) {
    const { error } = schema.safeParse({ id, title: 'a', dueAt })
    expect(error?.issues.map(({ path }) => path.join('.'))).toEqual(['dueAt'])
  }
})
