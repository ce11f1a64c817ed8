import pg from 'pg'
import { expect, test, vi } from 'vitest'
import { RowReader } from '../../../db/wire/rows.js'

const fields = [{ name: 'at', dataTypeID: 1184 }]
const usual = pg.types.getTypeParser(1184) as (text: string) => unknown
const read = (text: string | null, parser = usual) =>
  new RowReader(fields, { getTypeParser: () => parser }).read([text]).at

test.each([
  '2026-11-28 18:35:43.123456+00',
  '2026-11-28 18:35:43.999999+00',
  '2026-11-28 18:35:43.1+00',
  '2026-11-28 18:35:43.12+00',
  '2026-11-28 18:35:43.001+00',
  '2026-11-28 18:35:43+00',
  '2024-02-29 23:59:59+00',
  '1000-01-01 00:00:00+00',
  '9999-12-31 23:59:59.999+00',
  '0099-01-01 00:00:00+00',
  '0044-03-15 12:00:00+00 BC',
  '10000-01-01 00:00:00+00',
  '2026-11-28 18:35:43.123456+05:30',
  '2026-11-28 18:35:43-08',
  '1890-01-01 00:00:00-00:25:21',
  'infinity',
  '-infinity',
])('the time %s is what pg makes of it', text => {
  expect(read(text)).toStrictEqual(usual(text))
})

test('each millisecond is kept', () => {
  for (let ms = 0; ms < 1_000; ms++) {
    const date = new Date(Date.UTC(2026, 10, 28, 18, 35, 43, ms))
    const text = `${date.toISOString().replace('T', ' ').replace('Z', '')}789+00`
    expect(read(text)).toStrictEqual(date)
  }
})

class UtcDate extends Date {}

test('the parser of an application wins, and gets no other text', () => {
  const text = '2026-11-28 18:35:43+00'
  const given: string[] = []
  const parsers: ((text: string) => unknown)[] = [
    value => `text ${value}`,
    value => new UtcDate(value),
    value => new Date(value),
    value => {
      if (!value.startsWith('2026')) throw new Error('This text was not sent.')
      return value
    },
  ]
  for (const parser of parsers) {
    const spied = (value: string) => {
      given.push(value)
      return parser(value)
    }
    expect(read(text, spied)).toStrictEqual(parser(text))
  }
  expect(given).toEqual(parsers.map(() => text))
})

test('of two columns with one name the last counts, also if it is null', () => {
  const twice = ['id', 'body', 'id', 'body'].map(name => ({ name, dataTypeID: 25 }))
  const reader = new RowReader(twice, { getTypeParser: () => text => text })
  expect(reader.read(['1', 'mine', null, null])).toEqual({ id: null, body: null })
})

test('the parser of pg is known, so that its times are read faster', () => {
  const counting = vi.fn(usual)
  Object.defineProperty(counting, 'name', { value: usual.name })
  Object.assign(counting, { toString: () => String(usual) })
  expect(read('2026-11-28 18:35:43+00', counting)).toStrictEqual(new Date('2026-11-28T18:35:43Z'))
  expect(counting).not.toHaveBeenCalled()
})

test('null stays null, and a column may have any name', () => {
  expect(read(null)).toBeNull()
  const odd = ['__proto__', 'constructor', 'a.b'].map(name => ({ name, dataTypeID: 25 }))
  const row = new RowReader(odd, { getTypeParser: () => text => text }).read(['1', '2', null])
  expect(Object.entries(row)).toEqual([
    ['__proto__', '1'],
    ['constructor', '2'],
    ['a.b', null],
  ])
})
