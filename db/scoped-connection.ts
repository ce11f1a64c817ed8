import {
  AbortedTransactionError,
  type CompiledQuery,
  type DatabaseConnection,
  type QueryResult,
  type TransactionSettings,
} from 'kysely'
import pg, { type QueryResult as PgResult, type PoolClient } from 'pg'
import Cursor from 'pg-cursor'
import { abortable, cancelStatement } from './cancel.js'
import type { Identify, Scope } from './identity.js'
import { cleanSession } from './leftovers.js'
import { PipelinedQuery, type Preamble } from './pipelined-query.js'
import type { KnownStatement } from './statement-cache.js'
import { fromStatement } from './unavailable.js'

/** What a connection needs of its pool. */
export interface ScopeOptions {
  scope: Scope
  identify: Identify
  know: (text: string) => KnownStatement
  /** Resolves when statements may be sent at all. */
  pass: () => Promise<void>
  /** Cancels what runs, and refuses what comes after. */
  signal?: AbortSignal
}

/**
 * A pooled connection on which every statement runs with the caller's identity, inside its transaction. A single statement
 * costs one round trip: identity and statement stand behind one Sync, which is one implicit transaction.
 */
export class ScopedConnection implements DatabaseConnection {
  readonly #client: PoolClient
  readonly #know: ScopeOptions['know']
  readonly #identity: Preamble
  readonly #signal: AbortSignal | undefined
  /** Milliseconds until a silent server counts as gone. */
  readonly #patience: number
  /** Of the statement that was sent last: an abort is told at once, and its connection waits for the answer. */
  #answered: Promise<unknown> = Promise.resolve()
  #inTransaction = false
  #isUnclean = false
  #isBroken = false

  constructor(client: PoolClient, { scope, identify, know, signal }: ScopeOptions) {
    this.#client = client
    this.#signal = signal
    this.#patience = scope.statementTimeout + 5_000
    this.#know = know
    this.#identity = identify(scope)
  }

  async begin({ isolationLevel, accessMode }: TransactionSettings) {
    const level = isolationLevel ? ` isolation level ${isolationLevel}` : ''
    const begin = `begin${level}${accessMode ? ` ${accessMode}` : ''}`
    this.#inTransaction = true
    try {
      await this.#send([{ text: begin }], this.#identity)
    } catch (error) {
      await this.rollback()
      throw error
    }
    this.#expect('T')
  }

  async commit() {
    const { command } = await this.#send([], { text: 'commit' })
    this.#inTransaction = false
    // COMMIT of an aborted transaction rolls back, and says so in its tag only.
    if (command === 'ROLLBACK') throw new AbortedTransactionError()
  }

  /** Never fails: a connection that cannot roll back is not given back, and the error that led here is the one to tell. */
  async rollback() {
    if (this.#isBroken) return
    this.#answered = this.#answered
      .then(() => this.#client.query('rollback'))
      .then(
        () => {
          this.#inTransaction = false
        },
        () => {
          this.#isBroken = true
        },
      )
    await this.#answered
  }

  /** Sends a statement of ours inside the transaction. */
  async control({ sql: text }: CompiledQuery) {
    await this.#send([], { text })
  }

  async executeQuery<R>({ sql: text, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { name, mayLeaveBehind } = this.#know(text)
    this.#isUnclean ||= mayLeaveBehind
    const { command, rowCount, rows } = await this.#send(this.#preambles(), {
      text,
      name,
      values: parameters,
    })
    this.#expect(this.#inTransaction ? 'T' : 'I')
    const changes =
      command === 'INSERT' || command === 'UPDATE' || command === 'DELETE' || command === 'MERGE'
    return changes ? { rows, numAffectedRows: BigInt(rowCount ?? 0) } : { rows }
  }

  async *streamQuery<R>(
    { sql: text, parameters }: CompiledQuery,
    chunkSize: number,
  ): AsyncIterableIterator<QueryResult<R>> {
    this.#isUnclean ||= this.#know(text).mayLeaveBehind
    const cursor = new Cursor<R>(text, [...parameters])
    this.#client.query(new PipelinedQuery(this.#preambles(), cursor))
    try {
      for (let rows = await cursor.read(chunkSize); rows.length > 0; rows = await cursor.read(chunkSize))
        yield { rows }
    } catch (error) {
      throw fromStatement(error)
    } finally {
      await cursor.close()
    }
    this.#expect(this.#inTransaction ? 'T' : 'I')
  }

  /** The request may come too late, and hit what the connection runs next: so it runs nothing next. */
  async cancelQuery() {
    this.#isBroken = true
    cancelStatement(this.#client)
  }

  /** Gives the connection back once it has been answered: clean, or not at all. */
  async release() {
    const released = this.#answered.then(() => this.#giveBack())
    if (!this.#signal?.aborted) return released
  }

  async #giveBack() {
    if (this.#isUnclean && !this.#isBroken && !this.#inTransaction) {
      await this.#client.query(cleanSession).catch(() => {
        this.#isBroken = true
      })
    }
    this.#client.release(this.#isBroken || this.#inTransaction)
  }

  #preambles(): Preamble[] {
    return this.#inTransaction ? [] : [this.#identity]
  }

  /** A statement that has ended the transaction, or left one open, has ended the scope with it. */
  #expect(status: 'I' | 'T') {
    if (this.#client.getTransactionStatus() === status) return
    this.#isBroken = true
    throw new Error('A statement has changed the state of the transaction that it ran in.')
  }

  async #send(
    before: Preamble[],
    { text, name, values = [] }: { text: string; name?: string; values?: readonly unknown[] },
  ) {
    this.#signal?.throwIfAborted()
    const answer = new Promise<PgResult>((done, fail) => {
      const config = { text, name, values: [...values], types: pg.types, queryMode: 'extended' }
      // PostgreSQL keeps the time limit itself: who is silent past it is not there any more.
      const silent = setTimeout(() => {
        this.#isBroken = true
        fail(new Error('Connection terminated: no answer in time'))
      }, this.#patience)
      const query = new pg.Query(config, (error, result) => {
        clearTimeout(silent)
        if (error) fail(error)
        else done(result)
      })
      this.#client.query(new PipelinedQuery(before, query))
    })
    this.#answered = answer.catch(() => {})
    try {
      return await abortable(answer, this.#signal, () => void this.cancelQuery())
    } catch (error) {
      if (error instanceof Error) Error.captureStackTrace(error)
      throw fromStatement(error)
    }
  }
}
