import Cursor from 'pg-cursor'
import { handlerOf, type Submittable } from './wire.js'

/**
 * A cursor of pg's that tells of every error: pg's own forgets one behind the last row, as a deferred constraint has it, and its
 * reader waits for ever; and what a type parser throws leaves it as an uncaught exception.
 */
export class RowCursor<R> {
  readonly handler: Submittable
  readonly #cursor: Cursor<R>
  #unreadable: { error: unknown } | undefined
  #fail: ((error: unknown) => void) | undefined
  /** An error came while nobody read, as when the connection was ended: it cannot be closed any more. */
  isLost = false

  constructor(text: string, values: readonly unknown[]) {
    this.#cursor = new Cursor<R>(text, [...values])
    const handler = handlerOf(this.#cursor)
    const { handleError, handleDataRow } = handler
    handler.handleError = (error, wire) => {
      handleError.call(handler, error, wire)
      this.isLost ||= this.#fail === undefined
      this.#fail?.(error)
    }
    handler.handleDataRow = message => {
      try {
        handleDataRow.call(handler, message)
      } catch (error) {
        this.#unreadable ??= { error }
      }
    }
    this.handler = handler
  }

  /** @throws what PostgreSQL, or a type parser, said */
  async read(count: number): Promise<R[]> {
    try {
      return await new Promise((done, fail) => {
        this.#fail = fail
        this.#cursor
          .read(count)
          .then(rows => (this.#unreadable === undefined ? done(rows) : fail(this.#unreadable.error)), fail)
      })
    } finally {
      this.#fail = undefined
    }
  }

  close(): Promise<void> {
    return this.#cursor.close()
  }
}
