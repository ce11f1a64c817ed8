import {
  AbortedTransactionError,
  type CompiledQuery,
  createQueryId,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryCompiler,
  type QueryResult,
  sql,
  type TransactionSettings,
} from 'kysely'
import type { Pool, PoolClient, QueryConfig } from 'pg'
import { requireQuery } from './statement.js'
import { DatabaseUnavailableError, fromStatement } from './unavailable.js'

/** Who statements run for. */
export interface Scope {
  userId: string
  /** Unprivileged role that they run as. */
  role: string
  /** Longest time a statement may take, in milliseconds. */
  statementTimeout: number
}

/**
 * A Kysely dialect on which every statement runs inside a transaction, as the application role and with the caller's id set:
 * the model of PostgREST. Whatever the connection logged in as, superuser and owner included, the policies bind it.
 * The settings are local to the transaction, so nothing stays behind on a pooled connection.
 */
export function scopedDialect(pool: Pool, scope: Scope): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new ScopedDriver(pool, scope),
    createIntrospector: db => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  }
}

class ScopedDriver implements Driver {
  constructor(
    readonly pool: Pool,
    readonly scope: Scope,
  ) {}

  async init() {}
  /** The pool is shared by every user: closing it is not one user's to do. */
  async destroy() {}

  async acquireConnection() {
    const client = await this.pool.connect().catch(cause => {
      throw new DatabaseUnavailableError({ cause })
    })
    return new ScopedConnection(client, this.scope)
  }

  async releaseConnection(connection: ScopedConnection) {
    connection.release()
  }

  async beginTransaction(connection: ScopedConnection, settings: TransactionSettings) {
    await connection.begin(settings)
  }

  async commitTransaction(connection: ScopedConnection) {
    await connection.commit()
  }

  async rollbackTransaction(connection: ScopedConnection) {
    await connection.rollback()
  }

  async savepoint(connection: ScopedConnection, name: string, compile: QueryCompiler['compileQuery']) {
    await connection.control(compile(sql`savepoint ${sql.id(name)}`.toOperationNode(), createQueryId()))
  }

  async rollbackToSavepoint(
    connection: ScopedConnection,
    name: string,
    compile: QueryCompiler['compileQuery'],
  ) {
    await connection.control(compile(sql`rollback to ${sql.id(name)}`.toOperationNode(), createQueryId()))
  }

  async releaseSavepoint(connection: ScopedConnection, name: string, compile: QueryCompiler['compileQuery']) {
    await connection.control(compile(sql`release ${sql.id(name)}`.toOperationNode(), createQueryId()))
  }
}

// Identity first, then the role, then the time limit: after the role is set no more is needed than it may do.
const identify = `select set_config('app.user_id', $1, true), set_config('role', $2, true), set_config('statement_timeout', $3, true)`

class ScopedConnection implements DatabaseConnection {
  #inTransaction = false
  #broken = false

  constructor(
    readonly client: PoolClient,
    readonly scope: Scope,
  ) {}

  async begin({ isolationLevel, accessMode }: TransactionSettings = {}) {
    const level = isolationLevel ? ` isolation level ${isolationLevel}` : ''
    await this.#send(`begin${level}${accessMode ? ` ${accessMode}` : ''}`)
    this.#inTransaction = true
    const { userId, role, statementTimeout } = this.scope
    try {
      await this.#send({ text: identify, values: [userId, role, String(statementTimeout)] })
    } catch (error) {
      await this.rollback()
      throw error
    }
  }

  async commit() {
    const { command } = await this.#send('commit')
    this.#inTransaction = false
    // COMMIT of an aborted transaction rolls back, and says so in its tag only.
    if (command === 'ROLLBACK') throw new AbortedTransactionError()
  }

  async rollback() {
    try {
      await this.client.query('rollback')
      this.#inTransaction = false
    } catch {
      this.#broken = true
    }
  }

  /** Sends a statement of ours inside the transaction. */
  async control(query: CompiledQuery) {
    await this.#execute(query)
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    requireQuery(query.sql)
    if (this.#inTransaction) return this.#execute(query)
    await this.begin()
    try {
      const result = await this.#execute<R>(query)
      await this.commit()
      return result
    } catch (error) {
      if (this.#inTransaction) await this.rollback()
      throw error
    }
  }

  // biome-ignore lint/correctness/useYield: there is nothing to yield
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('A scoped handle does not stream yet: page through the rows instead.')
  }

  /** Gives the connection back, or destroys it when its state is not known. */
  release() {
    this.client.release(this.#broken || this.#inTransaction)
  }

  async #execute<R>({ sql: text, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    // Without values pg would use the simple protocol, which runs what stands behind a semicolon too.
    const query = { text, values: [...parameters], queryMode: 'extended' }
    const { command, rowCount, rows } = await this.#send(query)
    // A statement that has ended the transaction has ended the scope with it.
    if (this.client.getTransactionStatus() !== 'T') {
      this.#broken = true
      throw new Error('A statement has ended the transaction that it ran in.')
    }
    const changes =
      command === 'INSERT' || command === 'UPDATE' || command === 'DELETE' || command === 'MERGE'
    return changes ? { rows, numAffectedRows: BigInt(rowCount ?? 0) } : { rows }
  }

  #send(query: string | QueryConfig) {
    return this.client.query(query).catch(error => {
      throw fromStatement(error)
    })
  }
}
