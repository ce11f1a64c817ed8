import * as kysely from 'kysely'
import pg from 'pg'
import type { Frame, Frames } from '../wire/pipeline.js'
import type { Statement, StatementResult } from '../wire/query.js'
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

const notBegun = 'The transaction has not begun, because its first statement failed: roll it back.'

/**
 * The transaction of a scoped connection. BEGIN is sent with its first statement, and the identity in front of each one. The session is
 * cleaned before it ends: behind a transaction pooler the next statement gets another session.
 */
export class Transaction {
  readonly #session: Session
  readonly #identity: Identity
  readonly #onNameError: (error: unknown) => void
  isOpen = false
  /** Grows with each transaction of the connection. */
  #number = 0
  /** It has ended, but its statements may still arrive. */
  isLeaving = false
  /** A statement may have left something in the session, such as a setting or a lock. */
  isUnclean = false
  /** The BEGIN that is not sent yet. */
  #begin: Frame | null = null
  /** A pooler did not know a name, so no statement of this transaction has one. */
  #isUnnamed = false
  /** Why statements are refused while COMMIT or ROLLBACK runs or has failed: they would run outside the transaction. */
  #refusal: string | null = null

  constructor(session: Session, identity: Identity, onNameError: (error: unknown) => void) {
    this.#session = session
    this.#identity = identity
    this.#onNameError = onNameError
  }

  /** Opens it. The first statement sends the BEGIN. */
  begin({ isolationLevel, accessMode }: kysely.TransactionSettings = {}) {
    const level = isolationLevel ? ` isolation level ${isolationLevel}` : ''
    this.#begin = { text: `begin${level}${accessMode ? ` ${accessMode}` : ''}` }
    this.#session.isReadOnly = accessMode === 'read only'
    this.isOpen = true
    this.#number++
  }

  /** True if the next statement is the first. */
  get isPending() {
    return this.#begin !== null
  }

  /**
   * Sends a statement in it, behind the identity: a broken pooler could have changed it, or use another session. If the first statement did
   * not run because a pooler or a migration has made a name invalid, it is sent again without names.
   */
  async send<R>(statement: Statement): Promise<StatementResult<R>> {
    const begin = this.#begin
    if (begin === null) {
      if (this.#session.status === 'I') throw new Error(notBegun)
      return this.#send(statement)
    }
    const answer = this.#send<R>(statement, begin)
    this.#begin = null
    const number = this.#number
    const requireOpen = () => {
      this.requireAccepting()
      if (!this.isOpen || number !== this.#number) throw new Error(hasEnded)
    }
    try {
      return await answer
    } catch (error) {
      if (!isStalePlan(error)) throw error
      if (isNameError(error)) this.#onNameError(error)
      this.#session.isDestroyedOnRelease = true
      // The callback may have ended it meanwhile, and the statement must not run in the next one.
      requireOpen()
      await this.#session.run(['rollback'])
      requireOpen()
      this.#isUnnamed = true
      return await this.#send<R>(statement, begin)
    }
  }

  /** Sends a savepoint or its end. After an error PostgreSQL accepts no identity in front of it. */
  async control(text: string): Promise<void> {
    await (this.isPending ? this.send({ text }) : this.#session.send({ text }))
  }

  #send<R>(statement: Statement, begin?: Frame): Promise<StatementResult<R>> {
    const sent = this.#isUnnamed ? { ...statement, name: undefined } : statement
    const named = identityFor(sent, this.#identity)
    const identity = this.#isUnnamed ? unnamed(named) : named
    return this.#session.send<R>(sent, {
      before: begin === undefined ? [identity] : [begin, identity, forgetSequences],
    })
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
    if (this.isPending) return this.#end()
    if (this.#session.status === 'I') {
      await this.rollback()
      throw new AbortedTransactionError()
    }
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
    if (this.isPending) return this.#end()
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
    const refusal = this.#session.isReleased || this.isLeaving ? hasEnded : this.#refusal
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
    this.#begin = null
    this.#isUnnamed = false
    this.#session.isReadOnly = false
    this.#refusal = null
  }
}

/** The frame that sets the identity in front of a statement. */
export const identityFor = ({ name }: Statement, { standard, forPrepared }: Identity): Frame =>
  name === undefined ? standard : forPrepared

/** Without its name, for a session that may not know it. */
export const unnamed = ({ name: _, ...frame }: Frame): Frame => frame

/** True if a statement has failed in the transaction, so that PostgreSQL accepts nothing but its end. */
const isAborted = (error: unknown) => error instanceof pg.DatabaseError && error.code === '25P02'
