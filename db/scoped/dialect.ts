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
import { ScopedConnection, type ScopeOptions } from './connection.js'
import { TrackedConnection } from './tracked-connection.js'

/**
 * A Kysely dialect on which every statement runs inside a transaction, as the application role and with the caller's id set:
 * the model of PostgREST. Whatever the connection logged in as, superuser and owner included, the policies bind it.
 * The settings are local to the transaction, so nothing stays behind on a pooled connection.
 */
export function scopedDialect(pool: Pool, options: ScopeOptions): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new ScopedDriver(pool, options),
    createIntrospector: db => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  }
}

type Compile = QueryCompiler['compileQuery']

class ScopedDriver implements Driver {
  readonly #pool: Pool
  readonly #options: ScopeOptions

  constructor(pool: Pool, options: ScopeOptions) {
    this.#pool = pool
    this.#options = options
  }

  async init() {}
  /** The pool is shared by every user: closing it is not one user's to do. */
  async destroy() {}

  async acquireConnection() {
    await this.#options.pass()
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
