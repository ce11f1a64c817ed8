import type Cursor from 'pg-cursor'
import { loadOptional } from '../errors.js'
import { handlerOf, type Submittable } from './protocol.js'
import type { TypeParsers } from './rows.js'

let Loaded: typeof Cursor | undefined

/**
 * Loads pg-cursor, which only streams need. Call it before a {@link RowCursor} is made, and before anything that must still hold when its
 * statement is sent.
 *
 * @throws MissingPackageError if pg-cursor is not installed
 */
export async function loadCursor(): Promise<void> {
  if (Loaded !== undefined) return
  const loading = import(/* webpackIgnore: true */ /* turbopackIgnore: true */ 'pg-cursor')
  Loaded = (
    await loadOptional(loading, 'A stream needs a package that is not installed: npm install pg-cursor')
  ).default
}

/**
 * A pg-cursor that reports every error. The original loses an error that comes after the last row (a deferred constraint), throws
 * errors of type parsers outside any promise, and sends a Close without a Sync after an error, for which a pooler waits forever.
 */
export class RowCursor<R> {
  readonly handler: Submittable
  readonly #cursor: Cursor<R>
  #parseError: { error: unknown } | undefined
  /** An error that came while no call was waiting, for example because the connection was lost. */
  #pendingError: { error: unknown } | undefined
  #reject: ((error: unknown) => void) | undefined
  #hasFailed = false

  /** @param types the client, whose type parsers convert the rows */
  constructor(text: string, values: readonly unknown[], types: TypeParsers) {
    if (Loaded === undefined) throw new TypeError('loadCursor() comes before the first RowCursor.')
    this.#cursor = new Loaded<R>(text, [...values], { types })
    const handler = handlerOf(this.#cursor)
    const { handleError, handleDataRow } = handler
    handler.handleError = (error, wire) => {
      this.#hasFailed = true
      handleError.call(handler, error, wire)
      if (this.#reject === undefined) this.#pendingError = { error }
      else this.#reject(error)
    }
    handler.handleDataRow = message => {
      try {
        handleDataRow.call(handler, message)
      } catch (error) {
        this.#parseError ??= { error }
      }
    }
    this.handler = handler
  }

  /** Reads the next rows: none at the end. @throws the error of PostgreSQL or of a type parser */
  async read(count: number): Promise<R[]> {
    const rows = await this.#orError(() => this.#cursor.read(count))
    if (this.#parseError !== undefined) throw this.#parseError.error
    return rows
  }

  /** Ends the statement. @throws an error that PostgreSQL reports at its end, or has reported since the last rows */
  close(): Promise<void> {
    return this.#orError(async () => {
      if (this.#hasFailed) return
      this.handler.isClosedEarly = true
      await this.#cursor.close()
    })
  }

  async #orError<T>(work: () => Promise<T>): Promise<T> {
    if (this.#pendingError !== undefined) throw this.#pendingError.error
    try {
      return await new Promise((resolve, reject) => {
        this.#reject = reject
        work().then(resolve, reject)
      })
    } finally {
      this.#reject = undefined
    }
  }
}
