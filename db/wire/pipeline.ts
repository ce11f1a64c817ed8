import type { Connection, Submittable as PgSubmittable } from 'pg'
import { wrapIdentityError } from '../errors.js'
import {
  type CommandComplete,
  type DataRow,
  parseOnce,
  type RowDescription,
  type Submittable,
  unexpectedMessage,
  type Wire,
  wireOf,
} from './protocol.js'

/** A statement that is sent before the main one, such as the one that sets the identity. Its rows are dropped. */
export interface Preamble {
  text: string
  values?: readonly string[]
  /** Keeps the statement prepared on the connection under this name. */
  name?: string
  /** Its row must begin with its first value. If not, the answer is for another caller and is refused. */
  isEchoed?: boolean
}

/**
 * Sends preambles and a main statement in one round trip. One Sync ends them all, so they run in one implicit transaction
 * (PostgreSQL manual, 54.2.4 Pipelining).
 */
export class PipelinedQuery implements PgSubmittable {
  readonly #preambles: readonly Preamble[]
  readonly #main: Submittable
  #completedPreambles = 0
  #wire: Wire | undefined
  #isEchoSeen = false
  #isDescribed = false
  #isComplete = false
  /** True if the main statement was `select … into`, which creates a table. */
  hasCreatedTable = false

  constructor(preambles: readonly Preamble[], main: Submittable) {
    this.#preambles = preambles
    this.#main = main
  }

  // pg reads name and text when a ParseComplete arrives, so they must be those of the current statement.
  get name() {
    const preamble = this.#currentPreamble
    return preamble === undefined ? this.#main.name : preamble.name
  }

  get text() {
    return (this.#currentPreamble ?? this.#main).text
  }

  /** The preamble that is being answered. Undefined once the main statement is. */
  get #currentPreamble(): Preamble | undefined {
    return this.#preambles[this.#completedPreambles]
  }

  submit(connection: Connection) {
    const wire = wireOf(connection)
    this.#wire = wire
    wire.stream.cork()
    try {
      for (const preamble of this.#preambles) {
        parseOnce(wire, preamble)
        wire.bind({ statement: preamble.name ?? '', values: preamble.values ?? [] })
        wire.execute({})
      }
      return this.#main.submit(wire)
    } finally {
      wire.stream.uncork()
    }
  }

  handleRowDescription(message: RowDescription) {
    if (this.#currentPreamble !== undefined || this.#isDescribed) return this.#refuse()
    this.#isDescribed = true
    this.#main.handleRowDescription(message)
  }

  handleDataRow(message: DataRow) {
    const preamble = this.#currentPreamble
    if (preamble !== undefined) {
      this.#isEchoSeen = true
      if (preamble.isEchoed && message.fields[0] !== preamble.values?.[0]) this.#refuse()
      return
    }
    if (this.#isDescribed && !this.#isComplete) this.#main.handleDataRow(message)
    else this.#refuse()
  }

  handleCommandComplete(message: CommandComplete, wire: Wire) {
    const preamble = this.#currentPreamble
    if (preamble !== undefined) {
      if (preamble.isEchoed && !this.#isEchoSeen) return this.#refuse()
      this.#isEchoSeen = false
      this.#completedPreambles++
      return
    }
    if (this.#isComplete) return this.#refuse()
    this.#isComplete = true
    // SELECT INTO is the only SELECT that returns no columns.
    this.hasCreatedTable = !this.#isDescribed && message.text.startsWith('SELECT')
    this.#main.handleCommandComplete(message, wire)
  }

  handlePortalSuspended(wire: Wire) {
    if (this.#isDescribed && !this.#isComplete) this.#main.handlePortalSuspended(wire)
    else this.#refuse()
  }

  /** Empty statements are refused before they are sent. */
  handleEmptyQuery() {
    this.#refuse()
  }

  handleReadyForQuery(wire: Wire) {
    if (this.#isComplete || this.#main.isClosedEarly) this.#main.handleReadyForQuery(wire)
    else this.#refuse()
  }

  handleCopyInResponse() {
    this.#refuse()
  }

  handleCopyData() {
    this.#refuse()
  }

  /** Destroys the connection: what comes after an unexpected message may be the rows of another caller. */
  #refuse() {
    const error = unexpectedMessage()
    if (this.#wire === undefined) throw error
    this.#main.handleError(error, this.#wire)
    this.#wire.stream.destroy(error)
  }

  handleError(error: Error, wire: Wire) {
    // After an error the server skips the rest up to the Sync, so those statements were never parsed.
    for (const { name } of [...this.#preambles.slice(this.#completedPreambles), this.#main]) {
      if (name) delete wire.submittedNamedStatements[name]
    }
    this.#main.handleError(this.#currentPreamble === undefined ? error : wrapIdentityError(error), wire)
  }
}
