import type { Duplex } from 'node:stream'
import type { Connection, Submittable as PgSubmittable } from 'pg'

/** A statement that goes before another, behind the same Sync. Its rows are not kept. */
export interface Preamble {
  text: string
  values?: readonly string[]
  /** Keeps it prepared on the connection under this name. */
  name?: string
}

/** What pg's connection offers a query that submits itself. */
interface Wire {
  stream: Duplex
  parse(statement: { text: string; name?: string }): void
  bind(portal: { statement?: string; values?: readonly string[] }): void
  execute(portal: object): void
  parsedStatements: Record<string, string>
  submittedNamedStatements: Record<string, string>
}

/** The messages that pg hands to the query that is under way: `pg.Query` and `pg-cursor` take them. */
interface Submittable {
  name?: string
  text?: string
  submit(wire: Wire): void
  handleRowDescription(message: object): void
  handleDataRow(message: object): void
  handleCommandComplete(message: object, wire: Wire): void
  handlePortalSuspended(wire: Wire): void
  handleEmptyQuery(wire: Wire): void
  handleReadyForQuery(wire: Wire): void
  handleError(error: Error, wire: Wire): void
}

/**
 * A statement with others before it in one round trip: all stand behind one Sync of the extended protocol, and so in one
 * implicit transaction (PostgreSQL manual, 54.2.4 Pipelining). The answers to those before are taken off the wire here.
 */
export class PipelinedQuery implements PgSubmittable {
  readonly #preambles: readonly Preamble[]
  readonly #main: Submittable
  #done = 0

  constructor(preambles: readonly Preamble[], main: PgSubmittable) {
    this.#preambles = preambles
    this.#main = handlerOf(main)
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
      for (const { text, values = [], name = '' } of this.#preambles) {
        if (!(name && (name in wire.parsedStatements || name in wire.submittedNamedStatements))) {
          wire.parse({ text, name })
          if (name) wire.submittedNamedStatements[name] = text
        }
        wire.bind({ statement: name, values })
        wire.execute({})
      }
      return this.#main.submit(wire)
    } finally {
      wire.stream.uncork()
    }
  }

  handleRowDescription(message: object) {
    this.#main.handleRowDescription(message)
  }

  handleDataRow(message: object) {
    if (this.#done === this.#preambles.length) this.#main.handleDataRow(message)
  }

  handleCommandComplete(message: object, wire: Wire) {
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
    this.#main.handleError(error, wire)
  }
}

// pg's types leave out what its own queries and cursor are made of. Both are here since pg 7, and checked when they are used.
function handlerOf(query: PgSubmittable): Submittable {
  if (!('handleCommandComplete' in query)) throw new TypeError('Not a query that takes messages.')
  return query as PgSubmittable & Submittable
}

function wireOf(connection: Connection): Wire {
  if (!('parsedStatements' in connection))
    throw new TypeError('Not a connection that queries submit themselves to.')
  return connection as Connection & Wire
}
