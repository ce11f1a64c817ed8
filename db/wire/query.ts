import pg from 'pg'
import {
  type CommandComplete,
  type DataRow,
  parseOnce,
  type RowDescription,
  unexpectedMessage,
  type Wire,
} from './protocol.js'
import { RowReader, type TypeParsers } from './rows.js'

/** A statement with its values. */
export interface Statement {
  text: string
  values?: readonly unknown[]
  /** Keeps the statement prepared on the connection under this name. */
  name?: string | undefined
  /** Keeps the row reader from one execution to the next. */
  cache?: { reader?: RowReader }
}

/** The result of a statement. */
export interface StatementResult<R> {
  /** First word of the command tag, such as `SELECT`. */
  command: string
  /** Number of rows that were read or changed. */
  count: number
  rows: R[]
}

/** One statement by the extended protocol, in which PostgreSQL refuses a second statement behind a semicolon. */
export class ExtendedQuery<R> {
  readonly text: string
  readonly name: string | undefined
  readonly result: Promise<StatementResult<R>>
  readonly #values: readonly (string | Buffer | null)[]
  readonly #cache: { reader?: RowReader }
  readonly #rows: R[] = []
  #reader: RowReader | undefined
  readonly #types: TypeParsers
  #tag: string[] = []
  #parseError: unknown
  #resolve: (result: StatementResult<R>) => void = () => {}
  #reject: (error: unknown) => void = () => {}

  /**
   * @param types the client, whose type parsers convert the rows
   * @throws if a value cannot be converted, such as a bigint inside JSON
   */
  constructor({ text, name, values = [], cache = {} }: Statement, types: TypeParsers) {
    this.text = text
    this.name = name
    this.#values = values.map(value => prepareValue(value))
    this.#cache = cache
    this.#types = types
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  submit(wire: Wire) {
    parseOnce(wire, this)
    wire.bind({ statement: this.name ?? '', values: this.#values })
    // Always described: behind a pooler the statement may have been prepared again after its table changed.
    wire.describe({ type: 'P' })
    wire.execute({})
  }

  handleRowDescription({ fields }: RowDescription) {
    if (!this.#cache.reader?.matches(fields)) this.#cache.reader = new RowReader(fields, this.#types)
    this.#reader = this.#cache.reader
  }

  handleDataRow({ fields }: DataRow) {
    try {
      // The caller declares the type of the rows of their own SQL.
      this.#rows.push(this.#reader?.read(fields) as R)
    } catch (error) {
      this.#parseError ??= error
    }
  }

  handleCommandComplete({ text }: CommandComplete) {
    this.#tag = text.split(' ')
  }

  handleReadyForQuery() {
    if (this.#parseError !== undefined) return this.#reject(this.#parseError)
    const [command = ''] = this.#tag
    const count = Number(this.#tag.at(-1)) || 0
    // A pooler may have lost a row or sent one twice.
    if (/^(SELECT|FETCH)$/.test(command) && this.#reader !== undefined && this.#rows.length !== count)
      return this.#reject(unexpectedMessage())
    this.#resolve({ command, count, rows: this.#rows })
  }

  handleError(error: unknown) {
    this.#reject(error)
  }
}

const { prepareValue } = utilsOf(pg)

/** pg exports `prepareValue`, but its types leave it out. */
function utilsOf(module: object) {
  if (!('utils' in module)) throw new TypeError('trpc-bearer needs pg 8.23: npm install pg@~8.23.1')
  return module.utils as { prepareValue(value: unknown): string | Buffer | null }
}
