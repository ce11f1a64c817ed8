import { randomBytes } from 'node:crypto'
import type { CompiledQuery, DatabaseConnection, QueryResult, TransactionSettings } from 'kysely'
import type { PoolClient } from 'pg'
import { DatabaseUnavailableError } from '../errors.js'
import type { Frames } from '../wire/pipeline.js'
import type { Statement, StatementResult } from '../wire/query.js'
import { requireChunkSize, requireValueCount } from './allowed-statements.js'
import type { Caller, Identify, Identity } from './identity.js'
import { hasEnded, Session } from './session.js'
import { isNameError, isStalePlan, isTypeMismatch, type StatementInfo } from './statement-cache.js'
import { identityFor, Transaction, unnamed } from './transaction.js'

/** Options of {@link ScopedConnection}. */
export interface ScopedConnectionOptions {
  caller: Caller
  identify: Identify
  inspect: (text: string) => StatementInfo
  /** Called if a prepared statement is not known by its name. */
  onNameError: (error: unknown) => void
  /** Cancels the running statement and refuses later ones. */
  signal?: AbortSignal | undefined
}

/** Time to wait for the server beyond the time limit of a statement, in milliseconds. */
export const grace = 5_000
/** Microtasks until Kysely notices the end of a transaction: at most 4, and the next statement comes after 8 or more. */
const kyselyNotices = 5
const changesRows = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE'])

/**
 * A pooled connection on which every statement runs with the caller's identity, which is sent in front of it in the same round trip. In
 * a transaction too: a broken pooler could send a later statement into the transaction of another caller.
 */
export class ScopedConnection implements DatabaseConnection {
  readonly #session: Session
  readonly #identity: Identity
  readonly #transaction: Transaction
  readonly #inspect: ScopedConnectionOptions['inspect']
  readonly #onNameError: ScopedConnectionOptions['onNameError']
  /** Held by a statement that runs in a transaction of its own. */
  readonly #mutex = new Mutex()

  constructor(
    client: PoolClient,
    { caller, identify, inspect, onNameError, signal }: ScopedConnectionOptions,
  ) {
    this.#session = new Session(client, { signal, timeout: caller.statementTimeout + grace })
    this.#identity = identify(caller)
    this.#transaction = new Transaction(this.#session, this.#identity, onNameError)
    this.#onNameError = onNameError
    this.#inspect = inspect
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const info = this.#inspect(query.sql)
    while (this.#mutex.isLocked) await this.#mutex.unlocked
    this.#transaction.requireAccepting()
    if (info.mayLeaveBehind) this.#markUnclean(info)
    if (this.#transaction.isOpen) return this.#holdWhileItBegins(() => this.#execute<R>(query, info))
    if (!info.mayLeaveBehind) return this.#execute(query, info)
    return this.#mutex.hold(() => this.#executeAndClean<R>(query, info))
  }

  /** A stream fetches its chunks from a cursor. What can have none is read at once. */
  async *streamQuery<R>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<R>> {
    requireChunkSize(chunkSize)
    const info = this.#inspect(query.sql)
    if (!info.hasCursor) return yield await this.executeQuery<R>(query)
    while (this.#mutex.isLocked) await this.#mutex.unlocked
    this.#transaction.requireAccepting()
    if (info.mayLeaveBehind) this.#markUnclean(info)
    if (this.#transaction.isOpen) return yield* this.#streamInTransaction<R>(query, chunkSize)
    const unlock = this.#mutex.lock()
    try {
      yield* this.#streamInOwnTransaction<R>(query, chunkSize)
    } finally {
      unlock()
    }
  }

  async begin(settings: TransactionSettings) {
    while (this.#mutex.isLocked) await this.#mutex.unlocked
    this.#transaction.requireAccepting()
    if (this.#transaction.isOpen)
      throw new Error('This connection already has an open transaction: end it first, or use a savepoint.')
    this.#transaction.begin(settings)
  }

  commit() {
    return this.#endWith(this.#transaction.commit())
  }

  rollback() {
    return this.#endWith(this.#transaction.rollback())
  }

  /**
   * Kysely notices the end of a transaction a few microtasks after it, and until then lets its statements through, which would run
   * outside it. What the connection sends next comes later.
   */
  #endWith(ended: Promise<void>): Promise<void> {
    this.#transaction.isLeaving = true
    let microtasks = kyselyNotices
    const wait = () => {
      if (microtasks-- > 0) queueMicrotask(wait)
      else this.#transaction.isLeaving = false
    }
    ended.then(wait, wait)
    return ended
  }

  /** Sends a statement of the transaction itself, such as a savepoint. */
  async control({ sql: text }: CompiledQuery) {
    while (this.#mutex.isLocked) await this.#mutex.unlocked
    this.#transaction.requireAccepting()
    await this.#holdWhileItBegins(() => this.#transaction.control(text))
  }

  async cancelQuery() {
    this.#session.cancel()
  }

  /** Returns the connection to the pool, cleaned. Destroys it if a call or a transaction has not ended. */
  release({ isIdle }: { isIdle: boolean }) {
    if (!isIdle || this.#transaction.isOpen) this.#session.isBroken = true
    return this.#session.release(async () => {
      if (this.#transaction.isUnclean) await this.#transaction.clean()
    })
  }

  /** The first statement of a transaction holds back the others, so that none runs outside it. */
  #holdWhileItBegins<T>(send: () => Promise<T>): Promise<T> {
    return this.#transaction.isPending ? this.#mutex.hold(send) : send()
  }

  /** @param frames what to send around it, outside a transaction */
  async #execute<R>(
    { sql: text, parameters: values }: CompiledQuery,
    info: StatementInfo,
    frames?: Frames,
  ): Promise<QueryResult<R>> {
    requireValueCount(values)
    // A statement that is parsed under a caller's own settings would keep them, so it is not prepared under a name.
    const name = this.#transaction.isUnclean ? undefined : info.name
    const statement = { text, values, name, cache: info }
    const isInTransaction = this.#transaction.isOpen
    const result = isInTransaction
      ? this.#transaction.send<R>(statement)
      : this.#session.send<R>(statement, frames ?? { before: [identityFor(statement, this.#identity)] })
    const { command, count, rows } = await result.catch(error => {
      this.#session.isDestroyedOnRelease ||= info.endsConnectionIfItFails
      return this.#sendAgain<R>(statement, { error, isInTransaction })
    })
    this.#transaction.requireStatus()
    return changesRows.has(command) ? { rows, numAffectedRows: BigInt(count) } : { rows }
  }

  /** Sends a statement again without names, if it did not run because of a migration or a pooler. @throws else the same error */
  async #sendAgain<R>(
    statement: Statement,
    { error, isInTransaction }: { error: unknown; isInTransaction: boolean },
  ): Promise<StatementResult<R>> {
    const isStale = isStalePlan(error)
    const mayBeStale = statement.name !== undefined && !isInTransaction && isTypeMismatch(error)
    if (!isStale && !mayBeStale) throw error
    if (isNameError(error)) this.#onNameError(error)
    if (isStale) this.#session.isDestroyedOnRelease = true
    // Its transaction may have ended meanwhile, and it must not run outside it.
    if (isInTransaction) throw new DatabaseUnavailableError({ cause: error })
    this.#transaction.requireAccepting()
    const before = [unnamed(this.#identity.standard)]
    const result = await this.#session.send<R>({ ...statement, name: undefined }, { before })
    this.#session.isDestroyedOnRelease = true
    return result
  }

  async #executeAndClean<R>(query: CompiledQuery, info: StatementInfo): Promise<QueryResult<R>> {
    try {
      const result = await this.#execute<R>(query, info, this.#transaction.frames)
      this.#transaction.isUnclean = false
      return result
    } catch (error) {
      await this.#transaction.rollback()
      throw error
    }
  }

  async *#streamInTransaction<R>(query: CompiledQuery, chunkSize: number) {
    const cursor = cursorFor(query)
    await this.#holdWhileItBegins(() => this.#transaction.send(cursor.declare))
    try {
      yield* this.#fetch<R>(cursor, chunkSize)
    } finally {
      if (this.#session.canSend) await this.#session.send({ text: `close ${cursor.name}` })
    }
  }

  async *#streamInOwnTransaction<R>(query: CompiledQuery, chunkSize: number) {
    const cursor = cursorFor(query)
    this.#transaction.begin()
    let hasFailed = false
    try {
      await this.#transaction.send(cursor.declare)
      yield* this.#fetch<R>(cursor, chunkSize)
    } catch (error) {
      hasFailed = true
      await this.#transaction.rollback()
      throw error
    } finally {
      // Commits for a reader who leaves early too.
      if (!hasFailed) await this.#commitStream()
    }
  }

  async #commitStream() {
    // Its reader took too long.
    if (this.#session.isBroken) throw new DatabaseUnavailableError({ cause: new Error(hasEnded) })
    await this.#transaction.commit().catch(async error => {
      await this.#transaction.rollback()
      throw error
    })
  }

  async *#fetch<R>({ name }: { name: string }, chunkSize: number): AsyncGenerator<QueryResult<R>, void> {
    const statement = { text: `fetch ${chunkSize} from ${name}`, cache: {} }
    for (let count = chunkSize; count === chunkSize; ) {
      this.#transaction.requireAccepting()
      const { rows } = await this.#transaction.send<R>(statement)
      count = rows.length
      if (count === 0) return
      const stopWaiting = this.#session.waitForReader()
      try {
        yield { rows }
      } finally {
        stopWaiting()
      }
    }
  }

  #markUnclean({ endsConnection }: StatementInfo) {
    this.#transaction.isUnclean = true
    this.#session.isDestroyedOnRelease ||= endsConnection
  }
}

function cursorFor({ sql: text, parameters: values }: CompiledQuery) {
  requireValueCount(values)
  // No other caller has a cursor of this name, whatever a pooler does.
  const name = `trpc_bearer_${randomBytes(12).toString('hex')}`
  return { name, declare: { text: `declare ${name} no scroll cursor for ${text}`, values } }
}

/** A lock that one holder has at a time. To wait: `while (mutex.isLocked) await mutex.unlocked`. */
class Mutex {
  isLocked = false
  /** Resolves when the current holder unlocks. */
  unlocked: Promise<void> = Promise.resolve()

  async hold<T>(work: () => Promise<T>): Promise<T> {
    const unlock = this.lock()
    try {
      return await work()
    } finally {
      unlock()
    }
  }

  /** @returns the function that unlocks */
  lock(): () => void {
    let unlock = () => {}
    this.isLocked = true
    this.unlocked = new Promise<void>(resolve => {
      unlock = () => {
        this.isLocked = false
        resolve()
      }
    })
    return unlock
  }
}
