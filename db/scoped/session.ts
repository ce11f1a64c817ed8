import pg, { type PoolClient } from 'pg'
import { DatabaseUnavailableError, wrapStatementError } from '../errors.js'
import { abortable, cancelStatement } from '../wire/cancel.js'
import { type Frames, PipelinedQuery } from '../wire/pipeline.js'
import { unexpectedMessage } from '../wire/protocol.js'
import { ExtendedQuery, type Statement, type StatementResult } from '../wire/query.js'

/** Options of {@link Session}. */
export interface SessionOptions {
  /** Milliseconds to wait for the server, or for the reader of a stream, before the connection is given up. */
  timeout: number
  /** Cancels the running statement and refuses later ones. */
  signal: AbortSignal | undefined
}

/** How long a statement may run on after its caller has left, in milliseconds. */
const abandonAfter = 100

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
  #isClientReleased = false
  /** The transaction of the caller is read-only. */
  isReadOnly = false
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

  /** True if the caller has left. */
  get isAborted() {
    return this.#signal?.aborted ?? false
  }

  /** True if a transaction is open and a statement may be sent in it. */
  get canSend() {
    return (
      this.status === 'T' && !this.isBroken && !this.isReleased && !this.#isClientReleased && !this.isAborted
    )
  }

  /** Sends a statement with its frames, in one round trip. @throws at once, without a promise, if nothing is sent */
  send<R>(statement: Statement, frames: Frames = {}): Promise<StatementResult<R>> {
    this.#requireUsable()
    const query = new ExtendedQuery<R>(statement, this.#client)
    const pipeline = new PipelinedQuery(frames, query)
    this.#client.query(pipeline)
    return this.#answerOf(query, pipeline)
  }

  async #answerOf<R>(query: ExtendedQuery<R>, pipeline: PipelinedQuery<R>): Promise<StatementResult<R>> {
    try {
      return await this.#waitForAnswer(
        query.result.then(result => {
          this.isDestroyedOnRelease ||= pipeline.hasCreatedTable
          return result
        }),
      )
    } catch (error) {
      // The stack of pg's error shows its parser, not the caller.
      if (error instanceof Error && !this.isAborted) Error.captureStackTrace(error)
      throw error
    }
  }

  /** Sends statements without values in one message, after the last statement is answered. For this package's own SQL only. */
  async run(statements: readonly string[]): Promise<void> {
    const answer = this.#lastAnswer.then(() => {
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
    const released = this.#lastAnswer
      .then(async () => {
        if (!this.isBroken) await clean()
      })
      .catch(() => {
        this.isBroken = true
      })
      .then(() => this.#cancelling)
      .then(() => this.#releaseClient())
    if (!this.isAborted) return released
  }

  #releaseClient() {
    if (this.#isClientReleased) return
    this.#isClientReleased = true
    this.#client.release(this.isBroken || this.isDestroyedOnRelease)
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
    // Also after an abort, when nobody waits for it: the connection may be used again.
    const answer = this.#withTimeout(work).catch(error => {
      throw this.#recordFailure(error)
    })
    this.#lastAnswer = answer.catch(() => {})
    return abortable(answer, this.#signal, () => this.#abandon(answer))
  }

  /** Most statements end soon, and then their connection can be used again. */
  #abandon(answer: Promise<unknown>) {
    const timer = setTimeout(() => this.cancel(), abandonAfter)
    const stop = () => clearTimeout(timer)
    answer.then(stop, stop)
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
   * Destroys the connection if the reader of a stream does not read on in time or the caller aborts. Kysely queues a statement that is
   * awaited in the loop behind the stream, so such a reader would wait forever.
   *
   * @returns a function that stops this, when the reader reads on
   */
  waitForReader(): () => void {
    const destroy = () => {
      this.isBroken = true
      this.#releaseClient()
    }
    const timer = setTimeout(destroy, this.#timeout)
    this.#signal?.addEventListener('abort', destroy)
    return () => {
      clearTimeout(timer)
      this.#signal?.removeEventListener('abort', destroy)
    }
  }

  /**
   * Returns the error for the caller. After an outage, or an error that is not PostgreSQL's, the state of the connection is not
   * known.
   */
  #recordFailure(error: unknown): unknown {
    const reported = wrapStatementError(error, this)
    // PostgreSQL ends the session after a fatal error, such as `transaction_timeout`.
    const isFatal = !(error instanceof pg.DatabaseError) || error.severity === 'FATAL'
    if (reported !== error || isFatal) this.isBroken = true
    return reported
  }
}

/** Each statement must have exactly one answer. An extra one would reach the next caller. */
const requireResults =
  (count: number) => (results: { command: string | null } | { command: string | null }[]) => {
    const all = [results].flat()
    if (all.length !== count || all.some(({ command }) => !command)) throw unexpectedMessage()
  }
