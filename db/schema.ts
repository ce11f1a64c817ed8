import type { Kysely } from 'kysely'

/**
 * The tables that Kysely knows: none, until you add yours by declaration merging.
 *
 * @example
 * declare module 'trpc-bearer/db' {
 *   interface Database { notes: NotesTable }
 * }
 */
// biome-ignore lint/suspicious/noEmptyInterface: applications add their tables
export interface Database {}

/** A handle with any tables, as in Kysely's `Migration`. */
// biome-ignore lint/suspicious/noExplicitAny: only any accepts a handle with any tables
export type AnyKysely = Kysely<any>
