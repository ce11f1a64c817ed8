import {
  createQueryId,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryCompiler,
  sql,
  type TransactionSettings,
} from 'kysely'
import type { Pool } from 'pg'
import { DatabaseUnavailableError } from '../errors.js'
import { abortable } from '../wire/cancel.js'
import { ScopedConnection, type ScopedConnectionOptions } from './connection.js'
import { TrackedConnection } from './tracked-connection.js'

/** Options of {@link scopedDialect}. */
export interface ScopedDialectOptions extends ScopedConnectionOptions {
  /** Runs before each connection is taken. If it rejects, no statement is sent. */
  beforeConnect: () => Promise<void>
}

/**
 * A Kysely dialect on which every statement runs in a transaction as the application role, with the id of the caller set. The
 * policies apply whatever login the connection has, superuser included, and the settings end with the transaction.
 */
export function scopedDialect(pool: Pool, options: ScopedDialectOptions): Dialect {
  return {
    createAdapter: () => adapter,
    createDriver: () => new ScopedDriver(pool, options),
    createIntrospector: db => new PostgresIntrospector(db),
    createQueryCompiler: () => ({
      compileQuery: (node, queryId) => new PostgresQueryCompiler().compileQuery(node, queryId),
    }),
  }
}

// Shared, because each request has a dialect of its own. A compiler is not: it holds the query that it compiles.
const adapter = new PostgresAdapter()

type Compile = QueryCompiler['compileQuery']

class ScopedDriver implements Driver {
  readonly #pool: Pool
  readonly #options: ScopedDialectOptions

  constructor(pool: Pool, options: ScopedDialectOptions) {
    this.#pool = pool
    this.#options = options
  }

  async init() {}
  /** Does nothing, because all users share the pool. */
  async destroy() {}

  async acquireConnection() {
    await this.#options.beforeConnect()
    const connecting = this.#pool.connect().catch(cause => {
      throw new DatabaseUnavailableError({ cause })
    })
    const client = await abortable(connecting, this.#options.signal, () => {
      connecting.then(unused => unused.release()).catch(() => {})
    })
    return new TrackedConnection(new ScopedConnection(client, this.#options))
  }

  releaseConnection(connection: TrackedConnection) {
    return connection.release()
  }

  beginTransaction(connection: TrackedConnection, settings: TransactionSettings) {
    return connection.begin(settings)
  }

  commitTransaction(connection: TrackedConnection) {
    return connection.commit()
  }

  rollbackTransaction(connection: TrackedConnection) {
    return connection.rollback()
  }

  savepoint(connection: TrackedConnection, name: string, compile: Compile) {
    return connection.control(compile(sql`savepoint ${sql.id(name)}`.toOperationNode(), createQueryId()))
  }

  rollbackToSavepoint(connection: TrackedConnection, name: string, compile: Compile) {
    return connection.control(compile(sql`rollback to ${sql.id(name)}`.toOperationNode(), createQueryId()))
  }

  releaseSavepoint(connection: TrackedConnection, name: string, compile: Compile) {
    return connection.control(compile(sql`release ${sql.id(name)}`.toOperationNode(), createQueryId()))
  }
}
