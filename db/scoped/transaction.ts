import * as kysely from 'kysely'
import pg from 'pg'
import { DatabaseUnavailableError } from '../errors.js'
import type { Frame, Frames } from '../wire/pipeline.js'
import type { Statement } from '../wire/query.js'
import type { Identity } from './identity.js'
import { hasEnded, type Session } from './session.js'
import { cleanSession, forgetSequences } from './session-cleanup.js'
import { isNameError, isStalePlan } from './statement-cache.js'

// A namespace, because a named import that is missing fails before any message.
const { AbortedTransactionError } = kysely
if (AbortedTransactionError === undefined)
  throw new Error('trpc-bearer needs kysely 0.28.19 or later: npm install kysely@^0.29.9')

/** `cleanSession` for the round trip of another statement. */
const cleaning: readonly Frame[] = cleanSession.map(text => ({ text }))

const commitFailed = 'The transaction could not be committed and takes no more statements: roll it back.'

/**
 * The transaction of a scoped connection. It begins with the identity, and the session is cleaned before it ends: behind a
 * transaction pooler the next statement gets another session.
 */
export class Transaction {
  readonly #session: Session
  readonly #identity: Identity
  isOpen = false
  /** A statement may have left something in the session, such as a setting or a lock. */
  isUnclean = false
  /** Why statements are refused while COMMIT or ROLLBACK runs or has failed: they would run outside the transaction. */
  #refusal: string | null = null

  readonly #onNameError: (error: unknown) => void

  constructor(session: Session, identity: Identity, onNameError: (error: unknown) => void) {
    this.#session = session
    this.#identity = identity
    this.#onNameError = onNameError
  }

  /**
   * Begins, sets the identity and forgets the last caller's sequence numbers, in one round trip.
   *
   * @param first a statement to send in the same round trip
   */
  async begin({ isolationLevel, accessMode }: kysely.TransactionSettings = {}, first?: Statement) {
    const level = isolationLevel ? ` isolation level ${isolationLevel}` : ''
    this.#session.isReadOnly = accessMode === 'read only'
    const begin = { text: `begin${level}${accessMode ? ` ${accessMode}` : ''}` }
    const send = async (identity: Frame) => {
      const before = [begin, identity]
      if (first === undefined) await this.#session.send(forgetSequences, { before })
      else await this.#session.send(first, { before: [...before, forgetSequences] })
    }
    try {
      await send(this.#identity.standard).catch(async error => {
        if (!isNameError(error)) throw error
        this.#onNameError(error)
        await this.rollback()
        await send(unnamed(this.#identity.standard))
      })
      this.isOpen = true
    } catch (error) {
      await this.rollback()
      if (isStalePlan(error)) throw new DatabaseUnavailableError({ cause: error })
      throw error
    }
    this.requireStatus()
  }

  /** A transaction around one statement that may leave something in the session: all in one round trip, with the cleaning. */
  get frames(): Frames {
    return {
      before: [{ text: 'begin' }, unnamed(this.#identity.standard), forgetSequences],
      after: [...cleaning, { text: 'commit' }],
    }
  }

  /** If it fails, everything is rolled back and later statements are refused until the caller rolls back too. */
  async commit() {
    this.requireAccepting()
    this.#refusal = hasEnded
    const command = await this.#cleanAndCommit().catch(async error => {
      await this.rollback()
      if (isAborted(error)) throw new AbortedTransactionError()
      this.#refusal = commitFailed
      throw error
    })
    this.#end()
    // PostgreSQL answers COMMIT of a failed transaction with the tag ROLLBACK, not with an error.
    if (command === 'ROLLBACK') throw new AbortedTransactionError()
  }

  async #cleanAndCommit(): Promise<string> {
    const before = this.isUnclean ? cleaning : []
    const { command } = await this.#session.send({ text: 'commit' }, { before })
    this.isUnclean = false
    return command
  }

  /** Never throws, so that the caller sees the first error. A connection that cannot roll back is destroyed. */
  async rollback() {
    if (this.#session.isBroken) {
      // The transaction stays open on the server until the connection is destroyed, and what is sent now would be lost.
      this.#refusal = hasEnded
      return
    }
    if (this.#refusal === commitFailed) return this.#end()
    this.isOpen = false
    this.#refusal = hasEnded
    // Locks and prepared statements survive a rollback. One message, so that a pooler runs both in the same session.
    const rolledBack = this.#session.run(this.isUnclean ? ['rollback', ...cleanSession] : ['rollback']).then(
      () => {
        this.isUnclean = false
        this.#end()
      },
      () => {
        this.#session.isBroken = true
      },
    )
    // A caller who has left does not wait for the statement that still runs. The release of the connection does.
    if (!this.#session.isAborted) await rolledBack
  }

  async clean() {
    await this.#session.run(cleanSession)
    this.isUnclean = false
  }

  /** @throws if the transaction or the connection is ending or has ended */
  requireAccepting() {
    const refusal = this.#session.isReleased ? hasEnded : this.#refusal
    if (refusal !== null) throw new Error(refusal)
  }

  /** @throws if a statement has ended the transaction or left one open, because the identity ends with the transaction */
  requireStatus() {
    if (this.#session.status === (this.isOpen ? 'T' : 'I')) return
    this.#session.isBroken = true
    throw new Error(
      'A statement began or ended a transaction, so its connection is destroyed: use transaction().',
    )
  }

  #end() {
    this.isOpen = false
    this.#session.isReadOnly = false
    this.#refusal = null
  }
}

/** Without its name, for a session that may not know it. */
export const unnamed = ({ name: _, ...frame }: Frame): Frame => frame

/** True if a statement has failed in the transaction, so that PostgreSQL accepts nothing but its end. */
const isAborted = (error: unknown) => error instanceof pg.DatabaseError && error.code === '25P02'
