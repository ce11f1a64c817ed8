import type { Connection, Submittable as PgSubmittable } from 'pg'
import { fromIdentity } from '../errors.js'
import {
  type CommandComplete,
  type DataRow,
  outOfTurn,
  parseOnce,
  type RowDescription,
  type Submittable,
  type Wire,
  wireOf,
} from './protocol.js'

/** A statement that sets the identity before another, behind the same Sync. Its rows are not kept. */
export interface Preamble {
  text: string
  values?: readonly string[]
  /** Keeps it prepared on the connection under this name. */
  name?: string
  /** Its one row begins with its first value: an answer to somebody else's does not. */
  isEchoed?: boolean
}

/**
 * A statement with others before it in one round trip: all stand behind one Sync of the extended protocol, and so in one
 * implicit transaction (PostgreSQL manual, 54.2.4 Pipelining). The answers to those before are taken off the wire here.
 */
export class PipelinedQuery implements PgSubmittable {
  readonly #preambles: readonly Preamble[]
  readonly #main: Submittable
  #done = 0
  #wire: Wire | undefined
  #isEchoSeen = false
  #isDescribed = false
  #isComplete = false
  /** It was a `select … into`. */
  hasMadeTable = false

  constructor(preambles: readonly Preamble[], main: Submittable) {
    this.#preambles = preambles
    this.#main = main
  }

  // pg notes under these that a statement has been parsed: of the one whose answers come now.
  get name() {
    const preamble = this.#preambles[this.#done]
    return preamble === undefined ? this.#main.name : preamble.name
  }

  get text() {
    return (this.#preambles[this.#done] ?? this.#main).text
  }

  /** The answers that come now are those of the statement itself. */
  get #isOwn() {
    return this.#done === this.#preambles.length
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
    if (this.#isOwn && !this.#isDescribed) {
      this.#isDescribed = true
      this.#main.handleRowDescription(message)
    } else this.#refuse()
  }

  handleDataRow(message: DataRow) {
    const preamble = this.#preambles[this.#done]
    if (preamble !== undefined) {
      this.#isEchoSeen = true
      if (preamble.isEchoed && message.fields[0] !== preamble.values?.[0]) this.#refuse()
      return
    }
    if (this.#isDescribed && !this.#isComplete) this.#main.handleDataRow(message)
    else this.#refuse()
  }

  handleCommandComplete(message: CommandComplete, wire: Wire) {
    const preamble = this.#preambles[this.#done]
    if (preamble !== undefined) {
      if (preamble.isEchoed && !this.#isEchoSeen) return this.#refuse()
      this.#isEchoSeen = false
      this.#done++
      return
    }
    if (this.#isComplete) return this.#refuse()
    this.#isComplete = true
    // A query that answers no columns has made a table of them: SELECT INTO.
    this.hasMadeTable = !this.#isDescribed && message.text.startsWith('SELECT')
    this.#main.handleCommandComplete(message, wire)
  }

  handlePortalSuspended(wire: Wire) {
    if (this.#isDescribed && !this.#isComplete) this.#main.handlePortalSuspended(wire)
    else this.#refuse()
  }

  /** No statement that is sent is empty. */
  handleEmptyQuery() {
    this.#refuse()
  }

  handleReadyForQuery(wire: Wire) {
    if (this.#isComplete || this.#main.isLeft) this.#main.handleReadyForQuery(wire)
    else this.#refuse()
  }

  handleCopyInResponse() {
    this.#refuse()
  }

  handleCopyData() {
    this.#refuse()
  }

  /** The rows of what comes next may be somebody else's. */
  #refuse() {
    const error = outOfTurn()
    if (this.#wire === undefined) throw error
    this.#main.handleError(error, this.#wire)
    this.#wire.stream.destroy(error)
  }

  handleError(error: Error, wire: Wire) {
    // What stands behind the one that failed was never parsed.
    for (const { name } of [...this.#preambles.slice(this.#done), this.#main]) {
      if (name) delete wire.submittedNamedStatements[name]
    }
    this.#main.handleError(this.#isOwn ? error : fromIdentity(error), wire)
  }
}
