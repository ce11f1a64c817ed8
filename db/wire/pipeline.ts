import type { Connection, Submittable as PgSubmittable } from 'pg'
import { AnswerTooLargeError, wrapIdentityError } from '../errors.js'
import { limitAnswer } from './answer-limit.js'
import {
  type CommandComplete,
  type DataRow,
  parseOnce,
  type RowDescription,
  unexpectedMessage,
  type Wire,
  wireOf,
} from './protocol.js'
import type { ExtendedQuery } from './query.js'

/** A statement of this package around the main one, such as the one that sets the identity. Its rows are dropped. */
export interface Frame {
  text: string
  values?: readonly string[]
  /** Keeps the statement prepared on the connection under this name. */
  name?: string
  /**
   * It sets the identity, and its row must begin with this user id and end with this role. If not, the answer is for another caller, or a
   * pooler has answered itself, and everything is refused.
   */
  sets?: { userId: string; role: string }
}

/** Statements to send with the main one. */
export interface Frames {
  before?: readonly Frame[]
  after?: readonly Frame[]
}

/**
 * Sends a main statement and those around it in one round trip. One Sync ends them all: they run in one implicit transaction
 * (PostgreSQL manual, 54.2.4 Pipelining), and after an error the server skips the rest.
 */
export class PipelinedQuery<R> implements PgSubmittable {
  readonly #before: readonly Frame[]
  readonly #after: readonly Frame[]
  readonly #main: ExtendedQuery<R>
  /** Statements that are completely answered. */
  #completed = 0
  #wire: Wire | undefined
  #stopCounting = () => {}
  #isEchoSeen = false
  #isDescribed = false
  /** True if the main statement was `select … into`, which creates a table. */
  hasCreatedTable = false

  constructor({ before = [], after = [] }: Frames, main: ExtendedQuery<R>) {
    this.#before = before
    this.#after = after
    this.#main = main
  }

  // pg reads name and text when a ParseComplete arrives, so they must be those of the current statement.
  get name() {
    const frame = this.#frame
    return frame === undefined ? this.#main.name : frame.name
  }

  get text() {
    return (this.#frame ?? this.#main).text
  }

  /** The frame that is being answered. Undefined while the main statement is, and when all are. */
  get #frame(): Frame | undefined {
    return this.#before[this.#completed] ?? this.#after[this.#completed - this.#before.length - 1]
  }

  get #isMain() {
    return this.#completed === this.#before.length
  }

  submit(connection: Connection) {
    const wire = wireOf(connection)
    this.#wire = wire
    this.#stopCounting = limitAnswer(wire.stream, () => this.#refuse(new AnswerTooLargeError()))
    wire.stream.cork()
    try {
      for (const frame of this.#before) submitFrame(wire, frame)
      this.#main.submit(wire)
      for (const frame of this.#after) submitFrame(wire, frame)
      wire.sync()
    } finally {
      wire.stream.uncork()
    }
  }

  handleRowDescription(message: RowDescription) {
    if (!this.#isMain || this.#isDescribed) return this.#refuse()
    this.#isDescribed = true
    this.#main.handleRowDescription(message)
  }

  handleDataRow(message: DataRow) {
    if (this.#isMain && this.#isDescribed) return this.#main.handleDataRow(message)
    const frame = this.#frame
    if (frame === undefined) return this.#refuse()
    this.#isEchoSeen = true
    const { fields } = message
    if (frame.sets && (fields[0] !== frame.sets.userId || fields.at(-1) !== frame.sets.role)) this.#refuse()
  }

  handleCommandComplete(message: CommandComplete) {
    if (this.#isMain) {
      // SELECT INTO is the only SELECT that returns no columns.
      this.hasCreatedTable = !this.#isDescribed && message.text.startsWith('SELECT')
      this.#main.handleCommandComplete(message)
    } else {
      const frame = this.#frame
      if (frame === undefined || (frame.sets && !this.#isEchoSeen)) return this.#refuse()
      this.#isEchoSeen = false
    }
    this.#completed++
  }

  handleReadyForQuery() {
    this.#stopCounting()
    if (this.#completed === this.#before.length + 1 + this.#after.length) this.#main.handleReadyForQuery()
    else this.#refuse()
  }

  handlePortalSuspended() {
    this.#refuse()
  }

  /** Empty statements are refused before they are sent. */
  handleEmptyQuery() {
    this.#refuse()
  }

  handleCopyInResponse() {
    this.#refuse()
  }

  handleCopyData() {
    this.#refuse()
  }

  /** Destroys the connection: what comes after an unexpected message may be the rows of another caller. */
  #refuse(error = unexpectedMessage()) {
    this.#stopCounting()
    this.#main.handleError(error)
    this.#wire?.stream.destroy(error)
  }

  handleError(error: Error, wire: Wire) {
    this.#stopCounting()
    // The server skips the rest up to the Sync, so those statements were never parsed.
    for (const { name } of [...this.#before, this.#main, ...this.#after].slice(this.#completed)) {
      if (name) delete wire.submittedNamedStatements[name]
    }
    this.#main.handleError(this.#frame?.sets ? wrapIdentityError(error) : error)
  }
}

function submitFrame(wire: Wire, frame: Frame) {
  parseOnce(wire, frame)
  wire.bind({ statement: frame.name ?? '', values: frame.values ?? [] })
  wire.execute({})
}
