import Cursor from 'pg-cursor'
import { handlerOf, type Submittable } from './wire.js'

/**
 * A cursor of pg's that tells of an error behind the last row too, as a deferred constraint has one: pg's own forgets it, and
 * its reader waits for ever.
 */
export class RowCursor<R> {
  readonly handler: Submittable
  readonly #cursor: Cursor<R>
  #fail: (error: unknown) => void = () => {}

  constructor(text: string, values: readonly unknown[]) {
    this.#cursor = new Cursor<R>(text, [...values])
    const handler = handlerOf(this.#cursor)
    const { handleError } = handler
    handler.handleError = (error, wire) => {
      handleError.call(handler, error, wire)
      this.#fail(error)
    }
    this.handler = handler
  }

  read(count: number): Promise<R[]> {
    return new Promise((done, fail) => {
      this.#fail = fail
      this.#cursor.read(count).then(done, fail)
    })
  }

  close(): Promise<void> {
    return this.#cursor.close()
  }
}
