import { type RawBuilder, sql } from 'kysely'

/** A gap in the fence: what is wrong, and the SQL that fixes it. */
export interface FenceGap {
  /** The table, view, schema or role. */
  object: string
  problem: string
  /**
   * SQL for an administrator. For a table that was not given to `protectTable` it only revokes. A `--` comment if no SQL can fix it, or if
   * somebody has to choose.
   */
  fix: string
}

/** Object of the gaps that depend on all tables together. */
export const theLevel = 'the level'

export const revoke = (privileges: string, name: string, from: readonly string[]) =>
  `revoke ${privileges} on ${name} from ${from.join(', ')};`

/** True if relation `c` belongs to an extension. The extension is responsible for its privileges. */
export const belongsToExtension = sql`exists (
  select from pg_catalog.pg_depend d
  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')`

/**
 * SQL array of the grantees whose grants the role can use: PUBLIC, the role itself, and the roles it inherits from.
 *
 * @param grantees a query of their oids
 */
export const granteesUsableBy = (grantees: RawBuilder<unknown>, role: string) => sql`
  array(
    select distinct case a.grantee when 0 then 'public' else a.grantee::regrole::text end from (${grantees}) a (grantee)
    where a.grantee = 0 or pg_has_role(${role}, a.grantee, 'usage')
    order by 1
  )`

export const isSameGap = (one: FenceGap) => (other: FenceGap) =>
  one.object === other.object && one.problem === other.problem
