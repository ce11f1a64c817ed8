import {
  AbortedTransactionError,
  type CompiledQuery,
  type DatabaseConnection,
  type QueryResult,
  type TransactionSettings,
} from 'kysely'
import pg, { type PoolClient } from 'pg'
import Cursor from 'pg-cursor'
import { abortable, cancelStatement } from './cancel.js'
import { type Answer, ExtendedQuery, type Statement } from './extended-query.js'
import type { Identify, Scope } from './identity.js'
import { cleanSession } from './leftovers.js'
import { PipelinedQuery, type Preamble } from './pipelined-query.js'
import { requireFewValues } from './statement.js'
import type { KnownStatement } from './statement-cache.js'
import { DatabaseUnavailableError, fromStatement } from './unavailable.js'
import { handlerOf } from './wire.js'

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
    if (this.#isUnclean && this.#client.getTransactionStatus() === 'T') await this.#clean()
    const { command } = await this.#send([], { text: 'commit' })
    this.#inTransaction = false
    // COMMIT of an aborted transaction rolls back, and says so in its tag only.
    if (command === 'ROLLBACK') throw new AbortedTransactionError()
  }

  /** Never fails: a connection that cannot roll back is not given back, and the error that led here is the one to tell. */
  async rollback() {
    if (this.#isBroken) return
    // Locks and prepared statements outlive a rollback: cleaned in the same message, behind a pooler in the same session too.
    const text = this.#isUnclean ? `rollback; ${cleanSession}` : 'rollback'
    this.#answered = this.#answered
      .then(() => this.#inTime(this.#client.query(text)))
      .then(
        () => {
          this.#inTransaction = false
          this.#isUnclean = false
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

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const known = this.#know(query.sql)
    if (!known.mayLeaveBehind) return this.#execute(query, known)
    this.#isUnclean = true
    if (this.#inTransaction) return this.#execute(query, known)
    // Cleaned before the transaction ends: behind a transaction pooler the next statement has another session.
    await this.begin({})
    try {
      const result = await this.#execute<R>(query, known)
      await this.commit()
      return result
    } catch (error) {
      await this.rollback()
      throw error
    }
  }

  async #execute<R>(
    { sql: text, parameters: values }: CompiledQuery,
    known: KnownStatement,
  ): Promise<QueryResult<R>> {
    requireFewValues(values)
    const statement = { text, values, name: known.name, kept: known }
    const { command, count, rows } = await this.#send<R>(this.#preambles(), statement).catch(error => {
      if (!isStalePlan(error)) throw error
      // A migration has changed what the prepared statement answers, or it is gone. Nothing has run: once more, as new ones.
      this.#isBroken = true
      if (this.#inTransaction) throw new DatabaseUnavailableError({ cause: error })
      const { name: _, ...identity } = this.#identity
      return this.#send<R>([identity], { ...statement, name: undefined })
    })
    this.#expect(this.#inTransaction ? 'T' : 'I')
    const changes =
      command === 'INSERT' || command === 'UPDATE' || command === 'DELETE' || command === 'MERGE'
    return changes ? { rows, numAffectedRows: BigInt(count) } : { rows }
  }

  async *streamQuery<R>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<R>> {
    const { mayLeaveBehind } = this.#know(query.sql)
    if (!mayLeaveBehind) return yield* this.#stream(query, chunkSize)
    this.#isUnclean = true
    if (this.#inTransaction) return yield* this.#stream(query, chunkSize)
    // As in executeQuery: cleaned before the transaction ends.
    await this.begin({})
    try {
      yield* this.#stream<R>(query, chunkSize)
    } catch (error) {
      await this.rollback()
      throw error
    } finally {
      // Also where the reader has left in the middle.
      if (this.#inTransaction && !this.#isBroken) await this.commit()
    }
  }

  async *#stream<R>(
    { sql: text, parameters }: CompiledQuery,
    chunkSize: number,
  ): AsyncGenerator<QueryResult<R>, void> {
    this.#signal?.throwIfAborted()
    requireFewValues(parameters)
    const cursor = new Cursor<R>(text, [...parameters])
    this.#client.query(new PipelinedQuery(this.#preambles(), handlerOf(cursor)))
    const read = () => {
      const rows = this.#inTime(cursor.read(chunkSize))
      this.#answered = rows.catch(() => {})
      return abortable(rows, this.#signal, () => void this.cancelQuery())
    }
    try {
      for (let rows = await read(); rows.length > 0; rows = await read()) yield { rows }
    } catch (error) {
      const told = fromStatement(error)
      // Of a connection that is gone no cursor can be closed.
      if (told !== error || !(error instanceof pg.DatabaseError)) this.#isBroken = true
      throw told
    } finally {
      if (!this.#isBroken) await this.#inTime(cursor.close())
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
      await this.#clean().catch(() => {
        this.#isBroken = true
      })
    }
    this.#client.release(this.#isBroken || this.#inTransaction)
  }

  async #clean() {
    await this.#inTime(this.#client.query(cleanSession))
    this.#isUnclean = false
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

  async #send<R>(before: Preamble[], statement: Statement): Promise<Answer<R>> {
    this.#signal?.throwIfAborted()
    const query = new ExtendedQuery<R>(statement)
    this.#client.query(new PipelinedQuery(before, query))
    const answer = this.#inTime(query.answer)
    this.#answered = answer.catch(() => {})
    try {
      return await abortable(answer, this.#signal, () => void this.cancelQuery())
    } catch (error) {
      // Not what PostgreSQL said: nobody knows then what the connection and its prepared statements are like.
      if (!(error instanceof pg.DatabaseError)) this.#isBroken = true
      if (error instanceof Error) Error.captureStackTrace(error)
      throw fromStatement(error)
    }
  }

  /** PostgreSQL keeps the time limit of a statement itself: who is silent past it is not there any more. */
  #inTime<T>(work: Promise<T>): Promise<T> {
    return new Promise((done, fail) => {
      const silent = setTimeout(() => {
        this.#isBroken = true
        cancelStatement(this.#client)
        fail(new Error('Connection terminated: no answer in time'))
      }, this.#patience)
      work.finally(() => clearTimeout(silent)).then(done, fail)
    })
  }
}

/** The prepared statement is not there any more (26000), or answers other columns than it did (0A000). */
const isStalePlan = (error: unknown) =>
  error instanceof pg.DatabaseError &&
  (error.code === '26000' || (error.code === '0A000' && error.routine === 'RevalidateCachedQuery'))
