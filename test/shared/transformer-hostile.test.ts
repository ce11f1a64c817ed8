import { beforeAll, describe, expect, test } from 'vitest'
import { transformer } from '../../shared/index.js'
import { sharedApp } from '../parts/app.js'

const read = (text: string) => transformer.input.deserialize(JSON.parse(text))

const nines = '9'.repeat(101)
const nested = (depth: number, leaf: unknown): unknown =>
  depth === 0 ? leaf : { a: nested(depth - 1, leaf) }
const numbered = (count: number, of: unknown, name = (index: number) => `k${index}`) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [name(index), of]))
const annotated = (json: unknown, values: unknown) => JSON.stringify({ json, meta: { values, v: 1 } })
const equal = (json: unknown, referentialEqualities: unknown) =>
  JSON.stringify({ json, meta: { referentialEqualities, v: 1 } })
const withMeta = (meta: unknown) => JSON.stringify({ json: { title: 'milk' }, meta })
/** Parsing it takes time that grows with the square of its length. */
const longHost = (length: number) =>
  String.fromCodePoint(...Array.from({ length }, (_, index) => 0x4e00 + index))
const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`

/** Payloads as text: an object literal could not hold a key `__proto__`. */
const hostile: [string, string][] = [
  ['a regexp', annotated('/(a+)+$/', ['regexp'])],
  ['an Error', annotated({ message: 'x' }, ['Error'])],
  ['a class', annotated({}, [['class', 'Date']])],
  ['a custom type', annotated({}, [['custom', 'Decimal']])],
  ['a symbol', annotated('x', [['symbol', 'x']])],
  ['a typed array', annotated([1], [['typed-array', 'Uint8Array']])],
  ['a type named like a property of every object', annotated({}, ['constructor'])],
  ['a type named __proto__', annotated({}, ['__proto__'])],
  ['a type that is not text', annotated({}, [1])],
  ['an annotation without a type', annotated({}, [])],
  ['an annotation of three', annotated({}, ['Date', null, 1])],
  ['the inside of a date', annotated('', ['Date', { a: ['Date'] }])],
  ['"meta" as text', withMeta('values')],
  ['"meta" as a list', withMeta([{ values: ['set'] }])],
  ['"meta" as a number', withMeta(1)],
  ['"meta" as true', withMeta(true)],
  ['"meta" as null', withMeta(null)],
  ['"values" as text', withMeta({ values: 'set' })],
  ['"values" as a number', withMeta({ values: 1 })],
  ['"values" as null', withMeta({ values: null })],
  ['an annotation as text', annotated({ a: '' }, { a: 'Date' })],
  ['a set that is not a list', annotated({ a: 1 }, ['set'])],
  ['a map that is not a list', annotated('ab', ['map'])],
  ['a map whose entries are not lists', annotated(['ab'], ['map'])],
  ['a set of 5,001 numbers', annotated(Array(5_001).fill(1), ['set'])],
  ['a map of 5,001 numbers', annotated(Array(5_001).fill([1, '']), ['map'])],
  [
    'a set of 5,001 bigints',
    annotated(Array(5_001).fill('1'), ['set', numbered(5_001, ['bigint'], index => String(index))]),
  ],
  ['the inside of a set after it was made', annotated({ a: [''] }, { a: ['set'], 'a.0': ['Date'] })],
  ['a URL that is none', annotated('milk', ['URL'])],
  ['a URL with a host of 261 characters', annotated(`https://${longHost(261)}/`, ['URL'])],
  ['a URL with a host of 20,000 characters', annotated(`https://${longHost(20_000)}/`, ['URL'])],
  ['a URL with a long host that is percent-encoded', annotated(`wss:${encodeURI(longHost(261))}`, ['URL'])],
  ['a URL with a long host behind a user', annotated(`ftp://a:b@c@${longHost(261)}/`, ['URL'])],
  ['a URL with a long host behind slashes', annotated(`http:\\/\\${longHost(261)}/`, ['URL'])],
  ['a URL with a long host after white space', annotated(` \0H\tttp\n://${longHost(261)}/`, ['URL'])],
  ['a URL with line breaks in a long host', annotated(`file:////\n${longHost(261)}`, ['URL'])],
  ['a blob: URL with a long host', annotated(`blob: https://${longHost(261)}/`, ['URL'])],
  ['a date that is not a string', annotated([2026], ['Date'])],
  ['a path of 1,001 characters', annotated({}, { ['a'.repeat(1001)]: ['undefined'] })],
  ['a "meta" of a thousand levels', annotated(nested(1000, ''), nested(1000, ['Date']))],
  ...['__proto__', 'constructor', 'prototype'].map((name): [string, string] => [
    `a property ${name}`,
    `{"json":[{"a":{"${name}":1}}]}`,
  ]),
  [
    'many sets of numbers',
    annotated(
      Array.from({ length: 11 }, () => Array.from({ length: 500 }, (_, n) => n)),
      Object.fromEntries(Array.from({ length: 11 }, (_, n) => [n, ['set']])),
    ),
  ],
  ['JSON of 100,000 levels', `{"json":${deep}}`],
  ['JSON of 100,000 levels as a date', `{"json":${deep},"meta":{"values":["Date"],"v":1}}`],
  ['a bigint of 101 digits', annotated(nines, ['bigint'])],
  ['a bigint of a million digits', annotated('9'.repeat(1_000_000), ['bigint'])],
  ['a long bigint in a nested tree', annotated({ a: { b: nines } }, { a: { b: ['bigint'] } })],
  ['a long bigint in a list', annotated({ a: [nines] }, { 'a.0': ['bigint'] })],
  ['a long bigint at another spelling of an index', annotated({ a: [nines] }, { 'a.00': ['bigint'] })],
  ['a long bigint in a list in a list', annotated({ a: [[nines]] }, { a: ['bigint'] })],
  ['a long bigint behind an escaped dot', annotated({ 'a.b': nines }, { 'a\\.b': ['bigint'] })],
  ['a long bigint behind escaped backslashes', annotated({ 'a\\': { b: nines } }, { 'a\\\\.b': ['bigint'] })],
  ['a bigint that is not a number', annotated('milk', ['bigint'])],
  ['a bigint that is not there', annotated({}, { a: ['bigint'] })],
  ['an escape that superjson does not know', annotated({ 'a\\b': '' }, { 'a\\b': ['Date'] })],
  ['a path that ends in an escape', annotated({ 'a\\': '' }, { 'a\\': ['Date'] })],
  ['a path to __proto__', annotated({}, { '__proto__.polluted': ['undefined'] })],
  ['a path to a constructor', annotated({}, { 'constructor.prototype.polluted': ['Date'] })],
  ['a nested path to __proto__', annotated({}, { ['__proto__']: { polluted: ['Date'] } })],
  ['a list stretched to four billion items', annotated([], { 4294967294: ['undefined'] })],
  ['null', 'null'],
  ['text', '"milk"'],
  ['a number', '1'],
  ['a list', '[{"json":{"title":"milk"}}]'],
]

test.each(hostile)('%s from a client is refused', (_, text) => {
  expect(() => read(text)).toThrow(/^Invalid input/)
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
})

test.each([
  ['version 0', { v: 0 }],
  ['no version', {}],
])('paths are read as version 1, the one that was checked, when the client says %s', (_, version) => {
  // In version 0 this path is the one key `a\.b`, of which the check would know nothing.
  const meta = { values: { 'a\\\\.b': ['bigint'] }, ...version }
  const input = read(JSON.stringify({ json: { 'a\\': { b: '1' }, 'a\\.b': nines }, meta }))
  expect(input).toStrictEqual({ 'a\\': { b: 1n }, 'a\\.b': nines })
})

const levels = Array.from({ length: 16 }, (_, level) => `k${level}`)
const doubling = equal(
  Object.fromEntries(levels.map(key => [key, { x: null, y: null }])),
  Object.fromEntries(levels.slice(1).map((key, level) => [levels[level], [`${key}.x`, `${key}.y`]])),
)

test.each<[string, unknown]>([
  ['as text', 'a'],
  ['of the root', [['a']]],
  ['without a list', { a: 'b' }],
  ['with a path that is not text', { a: [['b']] }],
  ['with 100,000 paths', numbered(100_000, ['a'])],
  ['with __proto__', { a: ['__proto__'] }],
  ['with a prototype', { 'constructor.prototype': ['a'] }],
  ['that would stretch a list', { a: ['b.4294967294'] }],
  ['that would be endless', { a: ['a.b'] }],
])('equalities %s are not read', (_, equalities) => {
  const json = { a: { b: null, polluted: 1 }, b: [] }
  expect(read(equal(json, equalities))).toStrictEqual(json)
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
})

test('equalities that double at each level make no input larger than what was sent', () => {
  expect(JSON.stringify(read(doubling)).length).toBeLessThanOrEqual(doubling.length)
})

describe('over HTTP', () => {
  const app = sharedApp('PostgreSQL')
  let token: string
  beforeAll(async () => {
    token = await app().tokenOf('alice')
  })
  const call = async (procedure: string, body: string, authorization?: string) => {
    const response = await fetch(`${app().url}/trpc/${procedure}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(authorization && { authorization }) },
      body,
    })
    return { status: response.status, answer: await response.json() }
  }

  test.each(hostile.filter(([, text]) => text.length < 1_000_000))('%s is BAD_REQUEST', async (_, text) => {
    const { status, answer } = await call('tasks.create', text, `Bearer ${token}`)
    expect(status).toBe(400)
    expect(answer).toMatchObject({ error: { json: { data: { code: 'BAD_REQUEST' } } } })
  })

  test('the guard runs before the input is read: a call without a token is UNAUTHORIZED, whatever it sends', async () => {
    const { status, answer } = await call('tasks.create', annotated('/a/', ['regexp']))
    expect(status).toBe(401)
    expect(answer).toMatchObject({ error: { json: { data: { code: 'UNAUTHORIZED', reason: 'missing' } } } })
  })

  test('a procedure without input answers beside a hostile call', async () => {
    const inputs = `{"1":${annotated({ id: '/a/' }, { id: ['regexp'] })}}`
    const url = `${app().url}/trpc/health,tasks.get?batch=1&input=${encodeURIComponent(inputs)}`
    const response = await fetch(url, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(await response.json()).toMatchObject([
      { result: { data: { json: { ok: true } } } },
      { error: { json: { data: { code: 'BAD_REQUEST' } } } },
    ])
  })

  test("an invalid Date is refused by name, and does not take a task's date away", async () => {
    const { tasks } = app().as('alice')
    const dueAt = new Date('2030-01-01T00:00:00.000Z')
    const { id } = await tasks.create.mutate({ title: 'milk', dueAt })
    const refused = { data: { code: 'BAD_REQUEST', fields: { dueAt: [expect.any(String)] } } }
    await expect(tasks.update.mutate({ id, dueAt: new Date(Number.NaN) })).rejects.toMatchObject(refused)
    await expect(tasks.create.mutate({ title: 'x', dueAt: new Date(Number.NaN) })).rejects.toMatchObject(
      refused,
    )
    expect(await tasks.get.query({ id })).toMatchObject({ dueAt, version: 1 })
  })
})
