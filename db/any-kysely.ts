import type { Kysely } from 'kysely'

/** A handle whatever tables it knows: what a migration is given (Kysely's `Migration` says the same). */
// biome-ignore lint/suspicious/noExplicitAny: no type but any takes a handle of any tables
export type AnyKysely = Kysely<any>
