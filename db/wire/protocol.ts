import type { Duplex } from 'node:stream'
import type { Connection, Submittable as PgSubmittable } from 'pg'

/** What pg's connection offers a query that submits itself. */
export interface Wire {
  stream: Duplex
  parse(statement: { text: string; name?: string }): void
  bind(portal: { statement?: string; values?: readonly (string | Buffer | null)[] }): void
  describe(portal: { type: 'P'; name?: string }): void
  execute(portal: object): void
  sync(): void
  parsedStatements: Record<string, string>
  submittedNamedStatements: Record<string, string>
}

/** The messages that pg hands to the query that is under way. */
export interface Submittable {
  name?: string | undefined
  text?: string
  submit(wire: Wire): void
  handleRowDescription(message: RowDescription): void
  handleDataRow(message: DataRow): void
  handleCommandComplete(message: CommandComplete, wire: Wire): void
  handlePortalSuspended(wire: Wire): void
  handleReadyForQuery(wire: Wire): void
  handleError(error: unknown, wire: Wire): void
  /** True when its end was asked for before its last row: it ends without a CommandComplete. */
  isLeft?: boolean
}

/** A column of a result. */
export interface Field {
  name: string
  dataTypeID: number
}

export interface RowDescription {
  fields: readonly Field[]
}

export interface DataRow {
  fields: readonly (string | null)[]
}

export interface CommandComplete {
  /** The command's tag, such as `INSERT 0 1`. */
  text: string
}

/**
 * An answer that belongs to no statement that is under way. What comes after it on this connection may be somebody else's: the
 * message is one of those that count as an outage.
 */
export const outOfTurn = () =>
  new Error('Connection terminated: the server, or a pooler before it, has sent an answer out of turn.')

/** Sends the statement to be parsed, where the connection has not got it under its name already. */
export function parseOnce(
  wire: Wire,
  { text, name = '' }: { text: string; name?: string | undefined },
): void {
  if (name in wire.parsedStatements || name in wire.submittedNamedStatements) return
  wire.parse({ text, name })
  if (name) wire.submittedNamedStatements[name] = text
}

// pg's types leave out what its own queries and cursor are made of. Both are here since pg 7, and checked when they are used.
export function handlerOf(query: PgSubmittable): Submittable {
  if (!('handleCommandComplete' in query)) throw new TypeError('Not a query that takes messages.')
  return query as PgSubmittable & Submittable
}

export function wireOf(connection: Connection): Wire {
  if (!('parsedStatements' in connection))
    throw new TypeError('Not a connection that queries submit themselves to.')
  return connection as Connection & Wire
}
