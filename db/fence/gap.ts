import { type RawBuilder, sql } from 'kysely'

/** A gap in the fence: what is at fault, and the SQL that fixes it. */
export interface FenceGap {
  /** The table, view, schema or role. */
  object: string
  problem: string
  /** What an administrator runs. */
  fix: string
}

export const revoke = (privileges: string, name: string, from: readonly string[]) =>
  `revoke ${privileges} on ${name} from ${from.join(', ')};`

/** That a relation `c` belongs to an extension, which answers for it. */
export const isOfExtension = sql`exists (
  select from pg_catalog.pg_depend d
  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')`

/**
 * Those who lend the role what they were granted, as SQL takes an array: PUBLIC, the role itself, and whom it inherits from.
 *
 * @param grantees a query of their oids
 */
export const lenders = (grantees: RawBuilder<unknown>, role: string) => sql`
  array(
    select distinct case a.grantee when 0 then 'public' else a.grantee::regrole::text end from (${grantees}) a (grantee)
    where a.grantee = 0 or pg_has_role(${role}, a.grantee, 'usage')
    order by 1
  )`
