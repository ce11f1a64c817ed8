import pg, { type PoolClient } from 'pg'
import { DatabaseUnavailableError, fromStatement } from '../errors.js'
import { abortable, cancelStatement } from '../wire/cancel.js'
import { RowCursor } from '../wire/cursor.js'
import { PipelinedQuery, type Preamble } from '../wire/pipeline.js'
import { outOfTurn } from '../wire/protocol.js'
import { type Answer, ExtendedQuery, type Statement } from '../wire/query.js'

/** Options of a {@link Session}. */
export interface SessionOptions {
  /** Milliseconds until a silent server counts as gone. */
  patience: number
  /** Cancels what runs, and refuses what comes after. */
  signal: AbortSignal | undefined
}

/** Why a statement is refused whose connection its caller no longer has. */
export const returned =
  'The transaction, or the connection, of this statement has ended: await each statement in it.'

/** A pooled connection that sends statements: each in a bounded time and cancellable. A broken one is not used again. */
export class Session {
  readonly #client: PoolClient
  readonly #patience: number
  readonly #signal: AbortSignal | undefined
  /** Of what was sent last: an abort is told at once, and its connection waits for the answer. */
  #answered: Promise<unknown> = Promise.resolve()
  #openStreams = 0
  /** Its caller has given it back: nothing that still runs for them may send more. */
  #isReturned = false
  #isLetGo = false
  /** The connection ends with its caller: a statement made a table, or left what cannot be cleaned. */
  endsWithCaller = false
  /** Resolves when the last request to cancel has ended. */
  #cancelling: Promise<void> | null = null
  /** It is not given back, and nothing more is sent on it. */
  isBroken = false

  constructor(client: PoolClient, { patience, signal }: SessionOptions) {
    this.#client = client
    this.#patience = patience
    this.#signal = signal
  }

  /** Idle, in a transaction, or in one that has failed. */
  get status() {
    return this.#client.getTransactionStatus()
  }

  /** Somebody has not read a stream to its end, nor left it: what is sent now would be answered after that. */
  get hasOpenStream() {
    return this.#openStreams > 0
  }

  /** @throws where it has one: what ends the transaction would wait for a reader who may never come */
  requireStreamsEnded() {
    if (!this.hasOpenStream) return
    this.isBroken = true
    throw new Error(
      'A stream is still open, so its transaction is rolled back: read it to its end, or leave it (break, return()), before.',
    )
  }

  /** Sends a statement, and others before it in the same round trip. */
  async send<R>(before: readonly Preamble[], statement: Statement): Promise<Answer<R>> {
    this.#requireUsable()
    const query = new ExtendedQuery<R>(statement)
    const pipeline = new PipelinedQuery(before, query)
    this.#client.query(pipeline)
    try {
      const answer = await this.#answer(query.answer)
      this.endsWithCaller ||= pipeline.hasMadeTable
      return answer
    } catch (error) {
      if (error instanceof Error) Error.captureStackTrace(error)
      throw this.#judged(error)
    }
  }

  /** Sends a statement behind others, and fetches its rows so many at a time, as long as somebody reads. */
  async *stream<R>(
    before: readonly Preamble[],
    { text, values = [] }: Statement,
    chunkSize: number,
  ): AsyncGenerator<R[], void> {
    this.#requireUsable()
    this.#openStreams++
    const cursor = new RowCursor<R>(text, values)
    const pipeline = new PipelinedQuery(before, cursor.handler)
    this.#client.query(pipeline)
    const read = async () => {
      // Or the request to cancel would overtake what it is for.
      this.#requireUsable()
      return this.#answer(cursor.read(chunkSize))
    }
    try {
      for (let rows = await read(); rows.length > 0; rows = await read()) {
        const end = this.#expectReader()
        try {
          yield rows
        } finally {
          end()
        }
      }
    } catch (error) {
      throw this.#judged(error)
    } finally {
      this.#openStreams--
      this.endsWithCaller ||= pipeline.hasMadeTable
      // Of a connection that is gone no cursor can be closed.
      if (!this.isBroken) await this.#close(cursor)
    }
  }

  /**
   * Lets the connection go where nobody reads on in time, or the caller has gone: on a transaction Kysely lets what a reader awaits
   * in the loop wait for the stream, for ever.
   */
  #expectReader(): () => void {
    const letGo = () => this.#letGo(true)
    const abort = () => {
      this.isBroken = true
      letGo()
    }
    const late = setTimeout(letGo, this.#patience)
    this.#signal?.addEventListener('abort', abort)
    return () => {
      clearTimeout(late)
      this.#signal?.removeEventListener('abort', abort)
    }
  }

  /** Who leaves in the middle is told where their statement does not stand: its end is where a deferred constraint is checked. */
  async #close(cursor: RowCursor<unknown>) {
    const closed = this.#inTime(cursor.close())
    this.#answered = closed.catch(() => {})
    await closed.catch(error => {
      throw this.#judged(error)
    })
  }

  /** Sends statements of ours in one message, once what was sent before has been answered. */
  async run(statements: readonly string[]): Promise<void> {
    const ran = this.#answered.then(() => {
      if (this.#isLetGo) throw new Error(returned)
      return this.#inTime(this.#client.query(statements.join('; ')).then(requireAnswers(statements.length)))
    })
    this.#answered = ran.catch(() => {})
    await ran.catch(error => {
      throw this.#judged(error)
    })
  }

  /** The request may come too late, and hit what the connection runs next: so it runs nothing next. */
  cancel() {
    this.isBroken = true
    this.#cancelling ??= cancelStatement(this.#client, this.#answered)
  }

  /** Gives the connection back once it has been answered, and cleaned; ends it where it is broken. Who has gone does not wait. */
  async release(clean: () => Promise<void>) {
    this.#isReturned = true
    // Its rows stand in the way of whoever comes next.
    if (this.hasOpenStream) this.isBroken = true
    const released = this.#answered
      .then(async () => {
        if (!this.isBroken) await clean()
      })
      .catch(() => {
        this.isBroken = true
      })
      .then(() => this.#cancelling)
      .then(() => this.#letGo())
    if (!this.#signal?.aborted) return released
  }

  #letGo(isBroken = this.isBroken || this.endsWithCaller) {
    if (this.#isLetGo) return
    this.#isLetGo = true
    this.#client.release(isBroken)
  }

  #requireUsable() {
    this.#signal?.throwIfAborted()
    if (this.#isReturned || this.#isLetGo) throw new Error(returned)
    if (this.#cancelling !== null) {
      const cause = new Error('The connection is not used again: what it ran was cancelled.')
      throw new DatabaseUnavailableError({ cause })
    }
  }

  #answer<T>(work: Promise<T>): Promise<T> {
    const answer = this.#inTime(work)
    this.#answered = answer.catch(() => {})
    return abortable(answer, this.#signal, () => this.cancel())
  }

  /** What the caller is told. After an outage, or what PostgreSQL did not say, nobody knows what the connection is like. */
  #judged(error: unknown): unknown {
    const told = fromStatement(error)
    if (told !== error || !(error instanceof pg.DatabaseError)) this.isBroken = true
    return told
  }

  /** PostgreSQL keeps the time limit of a statement itself: who is silent past it is not there any more. */
  #inTime<T>(work: Promise<T>): Promise<T> {
    return new Promise((done, fail) => {
      const silent = setTimeout(() => {
        this.cancel()
        fail(new Error('Connection terminated: no answer in time'))
      }, this.#patience)
      work.finally(() => clearTimeout(silent)).then(done, fail)
    })
  }
}

/** An answer that came too early would leave the true one to the next caller. */
const requireAnswers =
  (count: number) => (results: { command: string | null } | { command: string | null }[]) => {
    const answers = [results].flat()
    if (answers.length !== count || answers.some(({ command }) => !command)) throw outOfTurn()
  }
