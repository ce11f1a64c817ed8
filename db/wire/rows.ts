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
    this.#parsers = fields.map(({ dataTypeID }) => types.getTypeParser(dataTypeID))
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
      row[name] = typeof text === 'string' ? this.#parsers[index]?.(text) : null
    }
    return row
  }
}
