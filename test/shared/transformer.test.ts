import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { transformer } from '../../shared/index.js'

const read = (text: string) => transformer.input.deserialize(JSON.parse(text))
const overTheWire = (value: unknown) => read(JSON.stringify(transformer.input.serialize(value)))
const wrong = () => new Date(Number.NaN)

const noon = new Date('2026-11-21T12:00:00.123Z')
const shared = { a: 1 }

test.each<[string, unknown]>([
  ['a date', noon],
  ['a date inside objects and lists', { a: [{ at: noon }, [noon]] }],
  ['dates of year 1 and 9999', [new Date('0001-01-01T00:00:00.000Z'), new Date('9999-12-31T23:59:59.999Z')]],
  ['undefined', { title: undefined }],
  ['undefined in a list', [undefined, null]],
  ['a bigint', { size: 2n ** 64n, debt: -(2n ** 64n) }],
  ['a bigint of 100 digits', 10n ** 99n],
  ['NaN, infinities and negative zero', [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0]],
  ['one date used twice', { from: noon, to: noon }],
  ['one object used twice', [shared, { shared }]],
  ['keys with dots', { 'a.b': noon, a: { b: noon, 'b.c': { '.': noon } } }],
  ['keys with backslashes', { '\\': noon, 'a\\': { b: noon }, 'a\\.b': noon, 'a\\\\.b': noon, '\\.': noon }],
  ['an empty key', { '': noon }],
  ['ten thousand dates', Array.from({ length: 10_000 }, (_, index) => new Date(index))],
  ['a set', new Set(['a', 1, noon])],
  ['a set of 20,000 texts', new Set(Array.from({ length: 20_000 }, (_, index) => `id ${index}`))],
  ['a map with dates as keys and values', new Map([[noon, { at: noon }]])],
  ['a map in a set in a map', new Map([['a', new Set([new Map([[1n, undefined]])])]])],
  ['a URL', { homepage: new URL('https://example.com/a?b#c') }],
  ['a URL with the longest host and port', new URL(`https://${'a'.repeat(63)}.${'b.'.repeat(94)}c.:65535/`)],
  [
    'a URL with a long user, path and query',
    new URL(`https://${'u'.repeat(300)}@x/${'p'.repeat(9_000)}?${'q'.repeat(9_000)}`),
  ],
  ['a data: URL of 100 kB', new URL(`data:text/plain,${'a'.repeat(100_000)}`)],
  ['nothing but JSON', { text: '\u0000 \ud83d\ude00', list: [1.5, true, null, {}, []] }],
])('%s arrives as it was sent', (_, value) => {
  expect(overTheWire(value)).toStrictEqual(value)
})

test('what the server answers arrives as it was sent, whatever superjson can carry', () => {
  const answer = { at: noon, tags: new Set(['a']), seen: new Map([[1, noon]]) }
  const text = JSON.stringify(transformer.output.serialize(answer))
  expect(transformer.output.deserialize(JSON.parse(text))).toStrictEqual(answer)
})

const dates = z.object({
  items: z.array(z.object({ at: z.date().nullable(), 'a.b\\': z.date().optional() })),
})

test.each<[string, unknown]>([
  ['alone', { items: [{ at: wrong() }] }],
  ['beside valid ones', { items: [{ at: noon }, { at: wrong(), 'a.b\\': noon }, { at: noon }] }],
  ['under a key with dots and backslashes', { items: [{ at: noon, 'a.b\\': wrong() }] }],
  ['used twice', { items: [wrong()].flatMap(at => [{ at }, { at }]) }],
])('an invalid Date %s never becomes null: it stays invalid, and the schema refuses it', (_, value) => {
  expect(overTheWire(value)).toStrictEqual(value)
  expect(dates.safeParse(overTheWire(value)).success).toBe(false)
})

test('an invalid Date that is the whole input stays invalid', () => {
  expect(overTheWire(wrong())).toStrictEqual(wrong())
})

test("sending leaves the caller's own objects as they are", () => {
  class Draft {
    constructor(readonly dueAt: Date) {}
  }
  const draft = new Draft(wrong())
  const input = { draft, plain: { dueAt: wrong() }, frozen: Object.freeze([wrong()]) }
  transformer.input.serialize(input)
  expect(input).toStrictEqual({
    draft: new Draft(wrong()),
    plain: { dueAt: wrong() },
    frozen: Object.freeze([wrong()]),
  })
})

const leaf = fc.oneof(
  fc.string(),
  fc.double(),
  fc.bigInt(),
  fc.date({ noInvalidDate: false }),
  fc.constantFrom(undefined, null, true, new URL('https://example.com/')),
)
const key = fc.string({ unit: fc.constantFrom('a', '.', '\\', '0') })
const value = fc.letrec(tie => ({
  any: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    tie('list'),
    tie('object'),
    tie('set'),
    tie('map'),
  ),
  list: fc.array(tie('any')),
  object: fc.dictionary(key, tie('any'), { noNullPrototype: true }),
  set: fc.array(tie('any')).map(list => new Set(list)),
  map: fc.array(fc.tuple(tie('any'), tie('any'))).map(entries => new Map(entries)),
})).any

test('every value of the accepted types arrives as it was sent', () => {
  fc.assert(
    fc.property(value, sent => {
      expect(overTheWire(sent)).toStrictEqual(sent)
    }),
    {
      numRuns: process.env.LONG_TESTS ? (process.env.CASES === 'some' ? 300 : 1_000) : 100,
      seed: 20_261_127,
    },
  )
})
