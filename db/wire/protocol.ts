import type { Duplex } from 'node:stream'
import type { Connection } from 'pg'

/** The part of pg's connection that sends messages: what a query uses to submit itself. */
export interface Wire {
  stream: Duplex
  parse(statement: { text: string; name?: string }): void
  bind(portal: { statement?: string; values?: readonly (string | Buffer | null)[] }): void
  describe(portal: { type: 'P' }): void
  execute(portal: object): void
  sync(): void
  parsedStatements: Record<string, string>
  submittedNamedStatements: Record<string, string>
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
  /** The command tag, such as `INSERT 0 1`. */
  text: string
}

/**
 * The error for a message that belongs to no running statement. Later messages may belong to another caller, so the connection must
 * be destroyed; the text begins like pg's own errors for a broken connection, so that it counts as an outage.
 */
export const unexpectedMessage = () =>
  new Error('Connection terminated: the server, or a pooler in front of it, sent an unexpected message.')

/** Sends a Parse message unless the connection already has a statement under this name. */
export function parseOnce(
  wire: Wire,
  { text, name = '' }: { text: string; name?: string | undefined },
): void {
  if (name in wire.parsedStatements || name in wire.submittedNamedStatements) return
  wire.parse({ text, name })
  if (name) wire.submittedNamedStatements[name] = text
}

/** Gives access to the sending methods of a pg connection, which pg's types leave out. @throws TypeError if it has none */
export function wireOf(connection: Connection): Wire {
  if (!('parsedStatements' in connection))
    throw new TypeError('This version of pg is not supported: its connection has no parsedStatements.')
  return connection as Connection & Wire
}
