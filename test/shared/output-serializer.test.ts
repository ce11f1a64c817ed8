import { SuperJSON } from 'superjson'
import { afterEach, describe, expect, test } from 'vitest'
import { serializeOutput } from '../../shared/output-serializer.js'

/** As text, so that the order of the keys counts. */
const textOf = (serialize: (value: unknown) => unknown, value: unknown) => {
  try {
    return JSON.stringify(serialize(value))
  } catch (error) {
    return String(error)
  }
}
const expectEqual = (value: unknown) =>
  expect(textOf(serializeOutput, value)).toBe(textOf(SuperJSON.serialize, value))

const date = new Date('2030-01-01T10:00:00Z')
const nested = (levels: number): unknown => (levels === 0 ? [] : [nested(levels - 1)])
const circular: Record<string, unknown> = { a: 1 }
circular.self = circular

describe('the serializer of answers equals superjson', () => {
  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['numbers', [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]],
    ['bigints', [1n, 1n]],
    ['rows', { items: [{ id: 'a', at: new Date(1), dueAt: null, note: undefined }], nextCursor: null }],
    ['one date twice', { a: date, b: date }],
    ['one object twice', [circular.a, { x: {} }, [circular.a]]],
    ['an invalid date', { at: new Date(Number.NaN) }],
    [
      'dates far away and at the edges of a day, a second and a century',
      [
        0, 1, -1, 86_399_999, 86_400_000, -86_400_001, 951_782_399_999, -62_135_596_800_001,
        253_402_300_800_000, 8.64e15, -8.64e15,
      ].map(time => new Date(time)),
    ],
    ['a circle', circular],
    ['a Map, a Set, a URL', [new Map([[1, date]]), new Set(['a']), new URL('https://a.example/b')]],
    ['bytes', { body: new Uint8Array([1, 2]) }],
    ['an Error', new TypeError('x', { cause: 1 })],
    [
      'a class',
      new (class Point {
        x = 1
        at = new Date(2)
      })(),
    ],
    ['no prototype', Object.assign(Object.create(null), { at: new Date(3) })],
    ['keys with dots and backslashes', { 'a.b': new Date(4), 'c\\': { d: new Date(5) } }],
    ['keys that are refused', { a: { constructor: 1 } }],
    ['__proto__ as a key', JSON.parse('{"__proto__":{"a":1}}')],
    ['numbers as keys, which come first', { b: new Date(6), 2: new Date(7), 1: { c: new Date(8) } }],
    [
      'dates and objects with dates in one array',
      { list: [new Date(9), { at: new Date(10) }, new Date(11)] },
    ],
    // biome-ignore lint/suspicious/noSparseArray: a hole is what is tried.
    ['holes', [1, , 3]],
    ['an array with names', Object.assign([1], { index: undefined })],
    ['a date of a subclass', new (class Day extends Date {})(12)],
    ['an array of a subclass', { a: new (class List extends Array {})() }],
    // biome-ignore lint/suspicious/noSparseArray: a hole is what is tried.
    ['a hole and a name', Object.assign([1, , 3], { x: new Date(16) })],
    // biome-ignore lint/suspicious/noSparseArray: a hole is what is tried.
    ['a hole at the end and a name', Object.assign([1, ,], { x: 1 })],
    ['an array with another prototype', Object.setPrototypeOf([1, new Date(17)], Object.prototype)],
    ['an array without a prototype', Object.setPrototypeOf([1], null)],
    ['an object with the prototype of arrays', Object.create(Array.prototype)],
    ['an array with its own map', Object.defineProperty([1, 2], 'map', { value: () => ['x'] })],
    ['a date with its own valueOf', Object.assign(new Date(18), { valueOf: () => Number.NaN })],
    [
      'numbers that are no index',
      { a: new Date(19), 4294967295: new Date(20), 4294967294: new Date(21), '01': new Date(22) },
    ],
    ['five hundred levels', nested(500)],
    ['a function and a symbol', { f() {}, s: Symbol('s') }],
    ['its own toJSON', { toJSON: () => 1, at: new Date(13) }],
    [
      'a getter',
      {
        get at() {
          return new Date(14)
        },
      },
    ],
    [
      'keys that are not enumerable, and symbols',
      Object.defineProperty({ [Symbol('s')]: 1 }, 'hidden', { value: 1 }),
    ],
  ])('for %s', (_, value) => expectEqual(value))

  test('a deep value with many types is written at once, where superjson needs a minute', () => {
    const deep = (levels: number): unknown =>
      levels === 0 ? Array.from({ length: 1_500 }, () => undefined) : [deep(levels - 1), undefined]
    const { meta } = serializeOutput(deep(900))
    expect(Object.keys(meta?.values ?? {})).toHaveLength(2_400)
  })

  test('for random values', () => {
    let seed = 7
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      return Math.floor((seed / 2_147_483_648) * below)
    }
    const shared = [date, { shared: true }, [1], new Map([['k', date]])]
    const leaves = [
      () => random(1_000),
      () => -0,
      () => `text ${random(9)}`,
      () => null,
      () => undefined,
      () => true,
      () => new Date(random(1e12)),
      () => 5n,
      () => Number.NaN,
      () => new Set([random(3)]),
      () => shared[random(shared.length)],
      () => new URL('https://a.example/'),
      () => /x/g,
    ]
    const names = ['id', 'a', 'createdAt', '1', '20', 'a.b', 'with space', 'x\\y', 'items']
    const value = (depth: number): unknown => {
      const kind = depth === 0 ? 2 : random(3)
      if (kind === 2) return leaves[random(10) < 8 ? random(7) : random(leaves.length)]?.()
      if (kind === 1) return Array.from({ length: random(5) }, () => value(depth - 1))
      const common = random(8) > 0 ? names.slice(0, 4) : names
      return Object.fromEntries(
        Array.from({ length: random(5) }, () => [common[random(common.length)], value(depth - 1)]),
      )
    }
    const runs = process.env.LONG_TESTS ? 200_000 : 8_000
    for (let run = 0; run < runs; run++) expectEqual(value(1 + random(5)))
  })
})

describe('a type that the application has registered', () => {
  // superjson has no way to take a type back.
  afterEach(() =>
    Reflect.set(Reflect.get(SuperJSON, 'defaultInstance').customTransformerRegistry, 'transfomers', {}),
  )

  test('is written as it says', () => {
    SuperJSON.registerCustom<Date, string>(
      {
        isApplicable: (value): value is Date => value instanceof Date,
        serialize: value => String(value.getTime()),
        deserialize: text => new Date(Number(text)),
      },
      'milliseconds',
    )
    const value = { at: new Date(15) }
    expect(serializeOutput(value)).toEqual({
      json: { at: '15' },
      meta: { values: { at: [['custom', 'milliseconds']] }, v: 1 },
    })
    expectEqual(value)
  })
})
