import pg from 'pg'
import type { Field } from './protocol.js'

type Row = Record<string, unknown>

/** Reads rows of the columns that a statement answers, as pg does. Made once and kept, as long as these stay the same. */
export class RowReader {
  readonly #fields: readonly Field[]
  readonly #parsers: readonly ((text: string) => unknown)[]
  /** Has each of the names as a property of its own, whatever the name. */
  readonly #empty: Row

  constructor(fields: readonly Field[]) {
    this.#fields = fields
    this.#parsers = fields.map(({ dataTypeID }) => pg.types.getTypeParser(dataTypeID))
    this.#empty = Object.fromEntries(fields.map(({ name }) => [name, null]))
  }

  fits(fields: readonly Field[]): boolean {
    return (
      fields.length === this.#fields.length &&
      fields.every(({ name, dataTypeID }, at) => {
        const own = this.#fields[at]
        return own?.name === name && own.dataTypeID === dataTypeID
      })
    )
  }

  read(values: readonly (string | null)[]): Row {
    const row = { ...this.#empty }
    for (const [at, { name }] of this.#fields.entries()) {
      const text = values[at]
      row[name] = typeof text === 'string' ? this.#parsers[at]?.(text) : null
    }
    return row
  }
}
