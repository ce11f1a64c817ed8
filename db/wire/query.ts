import pg from 'pg'
import {
  type CommandComplete,
  type DataRow,
  outOfTurn,
  parseOnce,
  type RowDescription,
  type Submittable,
  type Wire,
} from './protocol.js'
import { RowReader } from './rows.js'

/** A statement with its values. */
export interface Statement {
  text: string
  values?: readonly unknown[]
  /** Keeps it prepared on the connection under this name. */
  name?: string | undefined
  /** Where what reads its rows is kept for the next time. */
  kept?: { reader?: RowReader }
}

/** What a statement has answered. */
export interface Answer<R> {
  /** First word of the command's tag. */
  command: string
  /** Rows read or changed. */
  count: number
  rows: R[]
}

/** One statement by the extended protocol, which PostgreSQL takes no second one behind a semicolon by. */
export class ExtendedQuery<R> implements Submittable {
  readonly text: string
  readonly name: string | undefined
  readonly answer: Promise<Answer<R>>
  readonly #values: readonly (string | Buffer | null)[]
  readonly #kept: { reader?: RowReader }
  readonly #rows: R[] = []
  #reader: RowReader | undefined
  #tag: string[] = []
  #unreadable: unknown
  #done: (answer: Answer<R>) => void = () => {}
  #fail: (error: unknown) => void = () => {}

  /** @throws what a value throws that cannot be written as one of PostgreSQL's */
  constructor({ text, name, values = [], kept = {} }: Statement) {
    this.text = text
    this.name = name
    this.#values = values.map(value => prepareValue(value))
    this.#kept = kept
    this.answer = new Promise((done, fail) => {
      this.#done = done
      this.#fail = fail
    })
  }

  submit(wire: Wire) {
    parseOnce(wire, this)
    wire.bind({ statement: this.name ?? '', values: this.#values })
    // Asked each time, known or not: behind a pooler the statement may have been prepared anew, on a table that has changed.
    wire.describe({ type: 'P' })
    wire.execute({})
    wire.sync()
  }

  handleRowDescription({ fields }: RowDescription) {
    if (!this.#kept.reader?.fits(fields)) this.#kept.reader = new RowReader(fields)
    this.#reader = this.#kept.reader
  }

  handleDataRow({ fields }: DataRow) {
    try {
      // What a row is like is what the caller says of their own SQL.
      this.#rows.push(this.#reader?.read(fields) as R)
    } catch (error) {
      this.#unreadable ??= error
    }
  }

  handleCommandComplete({ text }: CommandComplete) {
    this.#tag = text.split(' ')
  }

  handlePortalSuspended() {}

  handleReadyForQuery() {
    if (this.#unreadable !== undefined) return this.#fail(this.#unreadable)
    const [command = ''] = this.#tag
    const count = Number(this.#tag.at(-1)) || 0
    // A row was lost or came twice on its way.
    if (command === 'SELECT' && this.#reader !== undefined && this.#rows.length !== count)
      return this.#fail(outOfTurn())
    this.#done({ command, count, rows: this.#rows })
  }

  handleError(error: unknown) {
    this.#fail(error)
  }
}

const { prepareValue } = utilsOf(pg)

// pg exports how it writes values, its types do not.
function utilsOf(module: object) {
  if (!('utils' in module)) throw new TypeError('Not a pg that exports its utils.')
  return module.utils as { prepareValue(value: unknown): string | Buffer | null }
}
