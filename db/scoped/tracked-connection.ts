import type { CompiledQuery, DatabaseConnection, QueryResult, TransactionSettings } from 'kysely'
import type { ScopedConnection } from './connection.js'

/**
 * A scoped connection that knows what is on its way. Each call may send more until it ends, so a connection that is given back before
 * that is not used again.
 */
export class TrackedConnection implements DatabaseConnection {
  readonly #connection: ScopedConnection
  /** Calls that have begun and not ended. */
  #underWay = 0

  constructor(connection: ScopedConnection) {
    this.#connection = connection
  }

  async #track<T>(call: () => Promise<T>): Promise<T> {
    this.#underWay++
    try {
      return await call()
    } finally {
      this.#underWay--
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
    this.#underWay++
    try {
      yield* this.#connection.streamQuery<R>(query, chunkSize)
    } finally {
      this.#underWay--
    }
  }

  cancelQuery() {
    return this.#connection.cancelQuery()
  }

  release() {
    return this.#connection.release({ isIdle: this.#underWay === 0 })
  }
}
