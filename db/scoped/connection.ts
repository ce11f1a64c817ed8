import {
  AbortedTransactionError,
  type CompiledQuery,
  type DatabaseConnection,
  type QueryResult,
  type TransactionSettings,
} from 'kysely'
import type { PoolClient } from 'pg'
import { DatabaseUnavailableError, fromIdentity } from '../errors.js'
import type { Preamble } from '../wire/pipeline.js'
import { requireChunkSize, requireFewValues } from './allowed-statements.js'
import type { Identify, Identity, Scope } from './identity.js'
import { returned, Session } from './session.js'
import { cleanSession, forgetSequences } from './session-cleanup.js'
import { isAborted, isStalePlan, type KnownStatement } from './statement-cache.js'

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

const changing = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE'])
const uncommitted = 'The transaction could not be committed, and takes nothing more: roll it back.'

/**
 * A pooled connection on which every statement runs with the caller's identity, inside its transaction. A single statement
 * costs one round trip: identity and statement stand behind one Sync, which is one implicit transaction.
 */
export class ScopedConnection implements DatabaseConnection {
  readonly #session: Session
  readonly #know: ScopeOptions['know']
  readonly #identity: Identity
  #inTransaction = false
  #isUnclean = false
  /** Why nothing is taken: COMMIT or ROLLBACK is on its way or has failed, and what came behind it would be in no transaction. */
  #refusal: string | null = null
  /** The connection is somebody else's by now. */
  #isReleased = false
  /** A statement in a transaction of its own, whose end the others on the connection wait for. */
  readonly #alone = new Turn()

  constructor(client: PoolClient, { scope, identify, know, signal }: ScopeOptions) {
    this.#session = new Session(client, { signal, patience: scope.statementTimeout + 5_000 })
    this.#know = know
    this.#identity = identify(scope)
  }

  async begin(settings: TransactionSettings) {
    while (this.#alone.ended !== null) await this.#alone.ended
    this.#requireOpen()
    if (this.#inTransaction) throw new Error('A transaction is open on this connection: one at a time.')
    return this.#begin(settings)
  }

  async #begin({ isolationLevel, accessMode }: TransactionSettings) {
    const level = isolationLevel ? ` isolation level ${isolationLevel}` : ''
    const begin = `begin${level}${accessMode ? ` ${accessMode}` : ''}`
    try {
      await this.#session.send([{ text: begin }, this.#identity.usual], forgetSequences)
      this.#inTransaction = true
    } catch (error) {
      await this.rollback()
      if (isStalePlan(error)) throw new DatabaseUnavailableError({ cause: error })
      throw fromIdentity(error)
    }
    this.#expect('T')
  }

  /** Where it fails all is rolled back, and what comes is refused until the caller rolls back too. */
  async commit() {
    this.#requireOpen()
    this.#session.requireStreamsEnded()
    this.#refusal = returned
    const command = await this.#cleanAndCommit().catch(async error => {
      await this.rollback()
      if (isAborted(error)) throw new AbortedTransactionError()
      this.#refusal = uncommitted
      throw error
    })
    this.#ended()
    // COMMIT of an aborted transaction rolls back, and says so in its tag only.
    if (command === 'ROLLBACK') throw new AbortedTransactionError()
  }

  async #cleanAndCommit(): Promise<string> {
    if (this.#isUnclean) await this.#clean()
    return (await this.#session.send([], { text: 'commit' })).command
  }

  /** Never fails: a connection that cannot roll back is not given back, and the error that led here is the one to tell. */
  async rollback() {
    if (this.#session.hasOpenStream) this.#session.isBroken = true
    if (this.#session.isBroken) return
    if (this.#refusal === uncommitted) return this.#ended()
    this.#refusal = returned
    try {
      // Locks and prepared statements outlive a rollback: cleaned in the same message, behind a pooler in the same session too.
      await this.#session.run(this.#isUnclean ? ['rollback', ...cleanSession] : ['rollback'])
      this.#isUnclean = false
      this.#ended()
    } catch {
      this.#session.isBroken = true
    }
  }

  async control({ sql: text }: CompiledQuery) {
    this.#requireOpen()
    await this.#session.send([], { text })
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const known = this.#know(query.sql)
    while (this.#alone.ended !== null) await this.#alone.ended
    this.#requireOpen()
    if (!known.mayLeaveBehind) return this.#execute(query, known)
    this.#soil(known)
    if (this.#inTransaction) return this.#execute(query, known)
    // Cleaned before the transaction ends: behind a transaction pooler the next statement has another session.
    const end = this.#alone.take()
    try {
      await this.#begin({})
      const result = await this.#execute<R>(query, known)
      await this.commit()
      return result
    } catch (error) {
      await this.rollback()
      throw error
    } finally {
      end()
    }
  }

  async #execute<R>(
    { sql: text, parameters: values }: CompiledQuery,
    known: KnownStatement,
  ): Promise<QueryResult<R>> {
    requireFewValues(values)
    // Settings that a caller has changed are in what is parsed under them.
    const { name } = this.#isUnclean ? { name: undefined } : known
    const statement = { text, values, name, kept: known }
    const { command, count, rows } = await this.#session
      .send<R>(this.#preambles(name !== undefined), statement)
      .catch(error => {
        if (!isStalePlan(error)) throw error
        // A migration has changed what the prepared statement answers, or it is gone. Nothing has run: once more, as new ones.
        this.#session.isBroken = true
        if (this.#inTransaction) throw new DatabaseUnavailableError({ cause: error })
        const { name: _, ...identity } = this.#identity.usual
        return this.#session.send<R>([identity], { ...statement, name: undefined })
      })
    this.#expect(this.#inTransaction ? 'T' : 'I')
    return changing.has(command) ? { rows, numAffectedRows: BigInt(count) } : { rows }
  }

  async *streamQuery<R>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<R>> {
    requireChunkSize(chunkSize)
    const known = this.#know(query.sql)
    while (this.#alone.ended !== null) await this.#alone.ended
    this.#requireOpen()
    if (!known.mayLeaveBehind) return yield* this.#stream(query, chunkSize)
    this.#soil(known)
    if (this.#inTransaction) return yield* this.#stream(query, chunkSize)
    const end = this.#alone.take()
    try {
      yield* this.#streamInOwnTransaction<R>(query, chunkSize)
    } finally {
      end()
    }
  }

  async *#streamInOwnTransaction<R>(query: CompiledQuery, chunkSize: number) {
    await this.#begin({})
    try {
      yield* this.#stream<R>(query, chunkSize)
    } catch (error) {
      await this.rollback()
      throw error
    } finally {
      // Also where the reader has left in the middle.
      if (this.#inTransaction && !this.#session.isBroken) {
        await this.commit().catch(async error => {
          await this.rollback()
          throw error
        })
      }
    }
  }

  async *#stream<R>(
    { sql: text, parameters: values }: CompiledQuery,
    chunkSize: number,
  ): AsyncGenerator<QueryResult<R>, void> {
    requireFewValues(values)
    const chunks = this.#session.stream<R>(this.#preambles(), { text, values }, chunkSize)
    for await (const rows of chunks) yield { rows }
    this.#expect(this.#inTransaction ? 'T' : 'I')
  }

  async cancelQuery() {
    this.#session.cancel()
  }

  /** Gives the connection back: idle and clean, or not at all. */
  release({ isIdle }: { isIdle: boolean }) {
    this.#isReleased = true
    if (!isIdle || this.#inTransaction) this.#session.isBroken = true
    return this.#session.release(async () => {
      if (this.#isUnclean) await this.#clean()
    })
  }

  #soil({ endsConnection }: KnownStatement) {
    this.#isUnclean = true
    this.#session.endsWithCaller ||= endsConnection
  }

  async #clean() {
    await this.#session.run(cleanSession)
    this.#isUnclean = false
  }

  #ended() {
    this.#inTransaction = false
    this.#refusal = null
  }

  #requireOpen() {
    const refusal = this.#isReleased ? returned : this.#refusal
    if (refusal !== null) throw new Error(refusal)
  }

  #preambles(isRepeated = false): Preamble[] {
    if (this.#inTransaction) return []
    return [isRepeated ? this.#identity.repeated : this.#identity.usual]
  }

  /** A statement that has ended the transaction, or left one open, has ended the scope with it. */
  #expect(status: 'I' | 'T') {
    if (this.#session.status === status) return
    this.#session.isBroken = true
    throw new Error('A statement has changed the state of the transaction that it ran in.')
  }
}

/** Held by who keeps the others waiting. */
export class Turn {
  /** Resolves when the one who has it is done; null while it is free. */
  ended: Promise<void> | null = null

  /** @returns what lets the others go on */
  take(): () => void {
    let end = () => {}
    this.ended = new Promise<void>(done => {
      end = () => {
        this.ended = null
        done()
      }
    })
    return end
  }
}
