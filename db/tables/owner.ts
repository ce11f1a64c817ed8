import { sql } from 'kysely'
import type { AnyKysely } from '../schema.js'

/** Which value of the caller owns the rows of a table, and in which column. */
export interface Owner {
  /** The column, as `quote_ident` writes it. */
  column: string
  type: OwnerType
  /** `user` is `user.id`, others are names of the option `owners` of `openDatabase`. */
  by: string
}

/** Types of an owner column, by the names that `format_type` gives them. */
export const ownerTypes = ['text', 'character varying', 'uuid', 'integer', 'bigint'] as const
export type OwnerType = (typeof ownerTypes)[number]

/** A name of the option `owners`: it is part of a setting and of SQL. */
export const ownerName = /^(?!.*_signature$)[a-z][a-z0-9_]{0,40}$/

/** SQL: the caller's value in the type of the column; null if the caller has none, or if it does not fit the type. */
export function callerValue({ type, by }: Pick<Owner, 'type' | 'by'>): string {
  const id = by === 'user' ? 'trpc_bearer.user_id()' : `trpc_bearer.owner_id('${by}'::text)`
  return type === 'text' || type === 'character varying' ? id : `trpc_bearer.as_${type}(${id})`
}

/** SQL: the type as the catalogue stores it, and the equality that a policy uses. */
export const ownerTypeTable = sql.raw(`(values
  ('text'::pg_catalog.regtype, 'text', 'pg_catalog.=(text,text)'::pg_catalog.regoperator),
  ('varchar'::pg_catalog.regtype, 'character varying', 'pg_catalog.=(text,text)'::pg_catalog.regoperator),
  ('uuid'::pg_catalog.regtype, 'uuid', 'pg_catalog.=(uuid,uuid)'::pg_catalog.regoperator),
  ('int4'::pg_catalog.regtype, 'integer', 'pg_catalog.=(int4,int4)'::pg_catalog.regoperator),
  ('int8'::pg_catalog.regtype, 'bigint', 'pg_catalog.=(int8,int8)'::pg_catalog.regoperator)
)`)

/** The type of an owner column; null if the table lacks the column, the name of another type if it does not fit. */
export async function findColumnType(
  db: AnyKysely,
  relation: string,
  column: string,
): Promise<string | null> {
  const { rows } = await sql<{ type: string }>`
    select coalesce(t.name, pg_catalog.format_type(a.atttypid, a.atttypmod)) as type
    from pg_catalog.pg_attribute a left join ${ownerTypeTable} t (oid, name, equality) on t.oid = a.atttypid
    where a.attrelid = ${relation}::regclass and a.attname = ${column} and a.attnum > 0 and not a.attisdropped`.execute(
    db,
  )
  return rows[0]?.type ?? null
}
