import type { Connection, Submittable as PgSubmittable } from 'pg'
import { fromIdentity } from './unavailable.js'
import {
  type CommandComplete,
  type DataRow,
  parseOnce,
  type RowDescription,
  type Submittable,
  type Wire,
  wireOf,
} from './wire.js'

/** A statement that sets the identity before another, behind the same Sync. Its rows are not kept. */
export interface Preamble {
  text: string
  values?: readonly string[]
  /** Keeps it prepared on the connection under this name. */
  name?: string
}

/**
 * A statement with others before it in one round trip: all stand behind one Sync of the extended protocol, and so in one
 * implicit transaction (PostgreSQL manual, 54.2.4 Pipelining). The answers to those before are taken off the wire here.
 */
export class PipelinedQuery implements PgSubmittable {
  readonly #preambles: readonly Preamble[]
  readonly #main: Submittable
  #done = 0

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

  submit(connection: Connection) {
    const wire = wireOf(connection)
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
    this.#main.handleRowDescription(message)
  }

  handleDataRow(message: DataRow) {
    if (this.#done === this.#preambles.length) this.#main.handleDataRow(message)
  }

  handleCommandComplete(message: CommandComplete, wire: Wire) {
    if (this.#done === this.#preambles.length) this.#main.handleCommandComplete(message, wire)
    else this.#done++
  }

  handlePortalSuspended(wire: Wire) {
    this.#main.handlePortalSuspended(wire)
  }
  handleEmptyQuery(wire: Wire) {
    this.#main.handleEmptyQuery(wire)
  }
  handleReadyForQuery(wire: Wire) {
    this.#main.handleReadyForQuery(wire)
  }

  handleError(error: Error, wire: Wire) {
    // What stands behind the one that failed was never parsed.
    for (const { name } of [...this.#preambles.slice(this.#done), this.#main]) {
      if (name) delete wire.submittedNamedStatements[name]
    }
    const isOwn = this.#done === this.#preambles.length
    this.#main.handleError(isOwn ? error : fromIdentity(error), wire)
  }
}
