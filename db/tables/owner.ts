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

/** What `protectTable` must know of a column that is to hold the owner. */
export interface OwnerColumn {
  /** The name of the type. If it cannot hold an owner, as PostgreSQL prints it. */
  type: string
  /** The n of `varchar(n)`. */
  maxLength: number | null
  isGenerated: boolean
}

/** Null if the table lacks the column. */
export async function findOwnerColumn(
  db: AnyKysely,
  relation: string,
  column: string,
): Promise<OwnerColumn | null> {
  const { rows } = await sql<OwnerColumn>`
    select coalesce(t.name, pg_catalog.format_type(a.atttypid, a.atttypmod)) as type,
      case when t.name = 'character varying' and a.atttypmod > 0 then a.atttypmod - 4 end as "maxLength",
      a.attgenerated <> '' as "isGenerated"
    from pg_catalog.pg_attribute a left join ${ownerTypeTable} t (oid, name, equality) on t.oid = a.atttypid
    where a.attrelid = ${relation}::regclass and a.attname = ${column} and a.attnum > 0 and not a.attisdropped`.execute(
    db,
  )
  return rows[0] ?? null
}

/**
 * SQL: the default of the owner column. An id that is too long for `varchar(n)` becomes null, so that the policy refuses the row as it
 * does for other types.
 */
export function ownerDefault(owner: Owner, maxLength: number | null): string {
  const value = callerValue(owner)
  // No id is longer than 255 characters, and PostgreSQL counts no further in a pattern.
  return maxLength === null || maxLength >= 255
    ? value
    : `pg_catalog.substring(${value}, '^.{0,${maxLength}}$'::text)`
}
