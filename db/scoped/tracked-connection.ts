import type { CompiledQuery, DatabaseConnection, QueryResult, TransactionSettings } from 'kysely'
import type { ScopedConnection } from './connection.js'

/**
 * A scoped connection that counts the calls in flight. A call may send more until it ends, so a connection that is released before
 * that is destroyed.
 */
export class TrackedConnection implements DatabaseConnection {
  readonly #connection: ScopedConnection
  #callsInFlight = 0

  constructor(connection: ScopedConnection) {
    this.#connection = connection
  }

  async #track<T>(call: () => Promise<T>): Promise<T> {
    this.#callsInFlight++
    try {
      return await call()
    } finally {
      this.#callsInFlight--
    }
  }

  begin(settings: TransactionSettings) {
    return this.#track(() => this.#connection.begin(settings))
  }

  commit() {
    return this.#track(() => this.#connection.commit())
  }

  rollback() {
    return this.#track(() => this.#connection.rollback())
  }

  control(query: CompiledQuery) {
    return this.#track(() => this.#connection.control(query))
  }

  executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    return this.#track(() => this.#connection.executeQuery<R>(query))
  }

  async *streamQuery<R>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<R>> {
    this.#callsInFlight++
    try {
      yield* this.#connection.streamQuery<R>(query, chunkSize)
    } finally {
      this.#callsInFlight--
    }
  }

  cancelQuery() {
    return this.#connection.cancelQuery()
  }

  release() {
    return this.#connection.release({ isIdle: this.#callsInFlight === 0 })
  }
}
