import type { Field } from './protocol.js'

type Row = Record<string, unknown>

/** The type parsers of a pg client: those of its pool, or pg's. */
export interface TypeParsers {
  getTypeParser(oid: number): (text: string) => unknown
}

/** Turns the values of a row into an object, as pg does. Can be reused while the columns stay the same. */
export class RowReader {
  readonly #fields: readonly Field[]
  readonly #parsers: readonly ((text: string) => unknown)[]
  /** Defines every column as an own property, even one called `__proto__`. */
  readonly #template: Row

  constructor(fields: readonly Field[], types: TypeParsers) {
    this.#fields = fields
    this.#parsers = fields.map(({ dataTypeID }) => {
      const parser = types.getTypeParser(dataTypeID)
      return dataTypeID === timestamptz && isOfPg(parser) ? faster(parser) : parser
    })
    this.#template = Object.fromEntries(fields.map(({ name }) => [name, null]))
  }

  /** True if the columns are the ones that this reader was made for. */
  matches(fields: readonly Field[]): boolean {
    return (
      fields.length === this.#fields.length &&
      fields.every(({ name, dataTypeID }, index) => {
        const own = this.#fields[index]
        return own?.name === name && own.dataTypeID === dataTypeID
      })
    )
  }

  read(values: readonly (string | null)[]): Row {
    const row = { ...this.#template }
    for (const [index, { name }] of this.#fields.entries()) {
      const text = values[index]
      // Of two columns with one name the last counts, also if it is null.
      row[name] = typeof text === 'string' ? this.#parsers[index]?.(text) : null
    }
    return row
  }
}

const timestamptz = 1184

/** Told by its source, because the application may have put its own parser into pg before, which must not be called with anything else. */
const isOfPg = (parser: (text: string) => unknown) =>
  parser.name === 'parseDate' &&
  /DATE_TIME\.exec\(isoDate\)[\s\S]*timeZoneOffset\(isoDate\)/.test(String(parser))

/** A page of a hundred rows has hundreds of times, and pg's parser tries several patterns on each. */
const faster = (parser: (text: string) => unknown) => (text: string) => parseUtc(text) ?? parser(text)

const utc = /^[1-9]\d{3}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?\+00$/

/** The usual form of a time in a session in UTC; undefined for any other. Microseconds are cut off, as a `Date` has none. */
function parseUtc(text: string): Date | undefined {
  if (!utc.test(text)) return undefined
  const digits = (from: number, count: number) => {
    let number = 0
    for (let index = from; index < from + count; index++) number = number * 10 + text.charCodeAt(index) - 48
    return number
  }
  const fraction = Math.min(3, text.length - '2001-02-03 04:05:06.+00'.length)
  const milliseconds = fraction > 0 ? digits(20, fraction) * 10 ** (3 - fraction) : 0
  return new Date(
    Date.UTC(
      digits(0, 4),
      digits(5, 2) - 1,
      digits(8, 2),
      digits(11, 2),
      digits(14, 2),
      digits(17, 2),
      milliseconds,
    ),
  )
}
