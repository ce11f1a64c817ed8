import Cursor from 'pg-cursor'
import { handlerOf, type Submittable } from './protocol.js'

/**
 * A cursor of pg's that tells of every error: pg's own forgets one behind the last row, as a deferred constraint has it, and its
 * reader waits for ever; and what a type parser throws leaves it as an uncaught exception. After an error nothing more is sent: pg's own
 * sends a Close without a Sync, for whose answer a pooler keeps its server.
 */
export class RowCursor<R> {
  readonly handler: Submittable
  readonly #cursor: Cursor<R>
  #unreadable: { error: unknown } | undefined
  /** An error that came while nobody waited, as when the connection was ended. */
  #lost: { error: unknown } | undefined
  #fail: ((error: unknown) => void) | undefined
  #hasFailed = false

  constructor(text: string, values: readonly unknown[]) {
    this.#cursor = new Cursor<R>(text, [...values])
    const handler = handlerOf(this.#cursor)
    const { handleError, handleDataRow } = handler
    handler.handleError = (error, wire) => {
      this.#hasFailed = true
      handleError.call(handler, error, wire)
      if (this.#fail === undefined) this.#lost = { error }
      else this.#fail(error)
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
    const rows = await this.#orError(() => this.#cursor.read(count))
    if (this.#unreadable !== undefined) throw this.#unreadable.error
    return rows
  }

  /** @throws what PostgreSQL said of the end of the statement, or had said since the last rows */
  close(): Promise<void> {
    return this.#orError(async () => {
      if (this.#hasFailed) return
      this.handler.isLeft = true
      await this.#cursor.close()
    })
  }

  async #orError<T>(work: () => Promise<T>): Promise<T> {
    if (this.#lost !== undefined) throw this.#lost.error
    try {
      return await new Promise((done, fail) => {
        this.#fail = fail
        work().then(done, fail)
      })
    } finally {
      this.#fail = undefined
    }
  }
}
