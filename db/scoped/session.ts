import pg, { type PoolClient } from 'pg'
import { DatabaseUnavailableError, wrapStatementError } from '../errors.js'
import { abortable, cancelStatement } from '../wire/cancel.js'
import { RowCursor } from '../wire/cursor.js'
import { PipelinedQuery, type Preamble } from '../wire/pipeline.js'
import { unexpectedMessage } from '../wire/protocol.js'
import { ExtendedQuery, type Statement, type StatementResult } from '../wire/query.js'

/** Options of {@link Session}. */
export interface SessionOptions {
  /** Milliseconds to wait for the server, or for the reader of a stream, before the connection is given up. */
  timeout: number
  /** Cancels the running statement and refuses later ones. */
  signal: AbortSignal | undefined
}

/** Error message for a statement that comes after the end of its transaction or connection. */
export const hasEnded =
  'The transaction or connection of this statement has ended: await each statement before it ends.'

/** A pooled connection that sends statements, each with a time limit and cancellable. A broken one is destroyed, not reused. */
export class Session {
  readonly #client: PoolClient
  readonly #timeout: number
  readonly #signal: AbortSignal | undefined
  /** Settles when the last statement is answered. After an abort the caller does not wait for it, but the connection does. */
  #lastAnswer: Promise<unknown> = Promise.resolve()
  /** Settles when the last cancel request has ended. */
  #cancelling: Promise<void> | null = null
  #openStreams = 0
  #isClientReleased = false
  /** The caller has released it. Only the cleaning may still send something. */
  isReleased = false
  /** The connection is cleaned and then destroyed, because a statement created a table or left what cannot be cleaned. */
  isDestroyedOnRelease = false
  /** The connection is destroyed without cleaning, because its state is not known. */
  isBroken = false

  constructor(client: PoolClient, { timeout, signal }: SessionOptions) {
    this.#client = client
    this.#timeout = timeout
    this.#signal = signal
  }

  /** I: idle, T: in a transaction, E: in a failed transaction. */
  get status() {
    return this.#client.getTransactionStatus()
  }

  /** True while a stream is neither read to its end nor left: later statements would wait behind its rows. */
  get hasOpenStream() {
    return this.#openStreams > 0
  }

  /** @throws if a stream is open: the end of the transaction would wait for a reader who may never come */
  requireNoOpenStream() {
    if (!this.hasOpenStream) return
    this.isBroken = true
    throw new Error(
      'A stream is still open, so its transaction is rolled back: read the stream to its end, or leave it (break, return()), first.',
    )
  }

  /** Sends a statement behind its preambles, in one round trip. */
  async send<R>(preambles: readonly Preamble[], statement: Statement): Promise<StatementResult<R>> {
    this.#requireUsable()
    const query = new ExtendedQuery<R>(statement, this.#client)
    const pipeline = new PipelinedQuery(preambles, query)
    this.#client.query(pipeline)
    try {
      const result = await this.#waitForAnswer(query.result)
      this.isDestroyedOnRelease ||= pipeline.hasCreatedTable
      return result
    } catch (error) {
      // The stack of pg's error shows its parser, not the caller.
      if (error instanceof Error) Error.captureStackTrace(error)
      throw this.#recordFailure(error)
    }
  }

  /** Sends a statement behind its preambles and fetches its rows in chunks while somebody reads. */
  async *stream<R>(
    preambles: readonly Preamble[],
    { text, values = [] }: Statement,
    chunkSize: number,
  ): AsyncGenerator<R[], void> {
    this.#requireUsable()
    this.#openStreams++
    const cursor = new RowCursor<R>(text, values, this.#client)
    const pipeline = new PipelinedQuery(preambles, cursor.handler)
    this.#client.query(pipeline)
    const read = async () => {
      // After an abort the read would be sent after the cancel request that is meant to stop it.
      this.#requireUsable()
      return this.#waitForAnswer(cursor.read(chunkSize))
    }
    try {
      for (let rows = await read(); rows.length > 0; rows = await read()) {
        const stopWaiting = this.#waitForReader()
        try {
          yield rows
        } finally {
          stopWaiting()
        }
      }
    } catch (error) {
      throw this.#recordFailure(error)
    } finally {
      this.#openStreams--
      this.isDestroyedOnRelease ||= pipeline.hasCreatedTable
      if (!this.isBroken) await this.#close(cursor)
    }
  }

  /** Sends statements without values in one message, after the last statement is answered. For this package's own SQL only. */
  async run(statements: readonly string[]): Promise<void> {
    const answer = this.#lastAnswer.then(() => {
      // An aborted stream is not closed, so nothing behind it would be answered.
      if (this.#isClientReleased || this.isBroken) throw new Error(hasEnded)
      return this.#withTimeout(
        this.#client.query(statements.join('; ')).then(requireResults(statements.length)),
      )
    })
    this.#lastAnswer = answer.catch(() => {})
    await answer.catch(error => {
      throw this.#recordFailure(error)
    })
  }

  /** Cancels the running statement. The connection is not reused: a late cancel request could hit the next statement. */
  cancel() {
    this.isBroken = true
    this.#cancelling ??= cancelStatement(this.#client, this.#lastAnswer)
  }

  /**
   * Returns the connection to the pool after the last answer and the cleaning, or destroys it. An aborted caller does not wait for
   * that.
   */
  async release(clean: () => Promise<void>) {
    this.isReleased = true
    if (this.hasOpenStream) this.isBroken = true
    const released = this.#lastAnswer
      .then(async () => {
        if (!this.isBroken) await clean()
      })
      .catch(() => {
        this.isBroken = true
      })
      .then(() => this.#cancelling)
      .then(() => this.#releaseClient())
    if (!this.#signal?.aborted) return released
  }

  #releaseClient(isDestroyed = this.isBroken || this.isDestroyedOnRelease) {
    if (this.#isClientReleased) return
    this.#isClientReleased = true
    this.#client.release(isDestroyed)
  }

  #requireUsable() {
    this.#signal?.throwIfAborted()
    if (this.isReleased || this.#isClientReleased) throw new Error(hasEnded)
    if (this.#cancelling !== null) {
      const cause = new Error('The connection is not used again, because its last statement was cancelled.')
      throw new DatabaseUnavailableError({ cause })
    }
  }

  #waitForAnswer<T>(work: Promise<T>): Promise<T> {
    const answer = this.#withTimeout(work)
    this.#lastAnswer = answer.catch(() => {})
    return abortable(answer, this.#signal, () => this.cancel())
  }

  /** PostgreSQL enforces `statement_timeout` itself: a server that is silent for longer counts as lost. */
  #withTimeout<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.cancel()
        reject(new Error('Connection terminated: the server did not answer in time.'))
      }, this.#timeout)
      work.finally(() => clearTimeout(timer)).then(resolve, reject)
    })
  }

  /**
   * Destroys the connection if the reader does not read on in time or the caller aborts. Kysely queues a statement that is awaited in
   * the loop behind the stream, so such a reader would wait forever.
   */
  #waitForReader(): () => void {
    const destroy = () => this.#releaseClient(true)
    const abort = () => {
      this.isBroken = true
      destroy()
    }
    const timer = setTimeout(destroy, this.#timeout)
    this.#signal?.addEventListener('abort', abort)
    return () => {
      clearTimeout(timer)
      this.#signal?.removeEventListener('abort', abort)
    }
  }

  /** Reports errors that only show at the end of a statement, such as deferred constraints, to a reader who leaves early too. */
  async #close(cursor: RowCursor<unknown>) {
    const closed = this.#withTimeout(cursor.close())
    this.#lastAnswer = closed.catch(() => {})
    await closed.catch(error => {
      throw this.#recordFailure(error)
    })
  }

  /**
   * Returns the error for the caller. After an outage, or an error that is not PostgreSQL's, the state of the connection is not
   * known.
   */
  #recordFailure(error: unknown): unknown {
    const reported = wrapStatementError(error)
    if (reported !== error || !(error instanceof pg.DatabaseError)) this.isBroken = true
    return reported
  }
}

/** Each statement must have exactly one answer. An extra one would reach the next caller. */
const requireResults =
  (count: number) => (results: { command: string | null } | { command: string | null }[]) => {
    const all = [results].flat()
    if (all.length !== count || all.some(({ command }) => !command)) throw unexpectedMessage()
  }
