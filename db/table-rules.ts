import { type RawBuilder, sql } from 'kysely'
import type { AnyKysely } from './any-kysely.js'

/** The conditions of the policy `own_rows`. A caller's conditions see no row before `policies_first()` is true. */
export const ownRows = {
  using: 'trpc_bearer.policies_first() and user_id = (select trpc_bearer.user_id())',
  check: 'user_id = (select trpc_bearer.user_id())',
}

/** The same as PostgreSQL prints it with an empty search path: under another, `user_id()` might be anybody's. */
export const printedOwnRows = {
  using: '(trpc_bearer.policies_first() AND (user_id = ( SELECT trpc_bearer.user_id() AS user_id)))',
  check: '(user_id = ( SELECT trpc_bearer.user_id() AS user_id))',
}

/**
 * The condition of the restrictive policy `own_rows_first`. PostgreSQL derives conditions from equalities, also from a caller's
 * (`body = user_id`), and ranks them like the policy that has the equality. This condition is no equality, and a restrictive policy
 * ranks before `own_rows`: so nothing of a caller's is tried on a row before it.
 */
export const ownRowsFirst = '(case when user_id = (select trpc_bearer.user_id()) then true end) is not null'

/** The same as PostgreSQL prints it with an empty search path. */
const printedOwnRowsFirst = `(
CASE
    WHEN (user_id = ( SELECT trpc_bearer.user_id() AS user_id)) THEN true
    ELSE NULL::boolean
END IS NOT NULL)`

/** Statements that put a table under both policies. */
export const policyStatements = (table: string, role: string) => [
  `drop policy if exists own_rows on ${table};`,
  `drop policy if exists own_rows_first on ${table};`,
  `create policy own_rows on ${table} to ${role} using (${ownRows.using}) with check (${ownRows.check});`,
  `create policy own_rows_first on ${table} as restrictive to ${role} using (${ownRowsFirst}) with check (true);`,
]

/**
 * Protected tables without the policy `own_rows_first`.
 *
 * @param db with an empty search path, so that policies are whole
 * @param tables their names, with their schemas, as `format('%I.%I')` writes them
 */
export async function tablesWithoutFirstPolicy(
  db: AnyKysely,
  tables: readonly string[],
  role: string,
): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select name
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace,
      pg_catalog.format('%I.%I', n.nspname, c.relname) name
    where name = any (${tables}) and not exists (
      select from pg_catalog.pg_policy p
      where p.polrelid = c.oid and not p.polpermissive and p.polcmd = '*'
        and pg_catalog.pg_get_expr(p.polqual, p.polrelid) = ${printedOwnRowsFirst}
        and (0 = any (p.polroles)
          or exists (select from unnest(p.polroles) r where pg_catalog.pg_has_role(${role}, r, 'usage')))
    )
    order by 1`.execute(db)
  return rows.map(row => row.name)
}

/** A rule that a table breaks. */
export interface BrokenRule {
  problem: string
  /** The statement that ends it; null where the table must be made anew. */
  mend: string | null
}

/**
 * Tables with their partitions and the tables that inherit from them, to stand behind `with recursive`.
 *
 * @param roots a query of the oids, as `oid`
 */
const familyOf = (roots: RawBuilder<unknown>) => sql`family as (
  select oid, null::oid as parent from (${roots}) root
  union
  select h.inhrelid, h.inhparent from family join pg_catalog.pg_inherits h on h.inhparent = family.oid
)`

/** A table, as {@link familyOf} has it. */
export const family = (relation: string) => familyOf(sql`select ${relation}::regclass::oid as oid`)

/**
 * Rules that a table under the policy must keep, beyond the policy, with its partitions and the tables that inherit from it:
 * without them its keys tell whether another user's row exists, as an insert that is refused for a key is seen by whoever tries,
 * or a table that it inherits from shows its rows.
 *
 * @param relation what `regclass` takes
 * @returns what is wrong; nothing when all is well
 */
export async function brokenTableRules(db: AnyKysely, relation: string): Promise<BrokenRule[]> {
  const { rows } = await sql<BrokenRule>`
    with recursive ${family(relation)},
    -- The others take different ids for the same.
    strict as (select oid from pg_catalog.pg_collation where collisdeterministic),
    mine as (
      select c.oid, family.parent, c.relkind in ('r', 'p') as is_table, c.relispartition, a.attnum as user_id,
        a.atttypid = 'text'::regtype as is_text, pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
        a.attcollation in (select oid from strict) as is_strict
      from family join pg_catalog.pg_class c on c.oid = family.oid
      left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped
    ),
    -- Each shows the rows of all below it, so it is not enough that the next one is protected.
    ancestors as (
      select h.inhparent as oid, h.inhrelid as child from mine join pg_catalog.pg_inherits h on h.inhrelid = mine.oid
      union
      select h.inhparent, h.inhrelid from ancestors join pg_catalog.pg_inherits h on h.inhrelid = ancestors.oid
    ),
    keys as (
      select i.indexrelid, i.indkey[0] = mine.user_id as is_own,
        k.conexclop[1] is distinct from 'pg_catalog.=(text,text)'::regoperator and i.indisexclusion as is_loose,
        i.indcollation[0] in (select oid from strict) as is_strict,
        case when k.oid is null then pg_catalog.format('drop index %s;', i.indexrelid::regclass)
          else pg_catalog.format('alter table %s drop constraint %I;', k.conrelid::regclass, k.conname) end as mend
      from mine
      join pg_catalog.pg_index i on i.indrelid = mine.oid and (i.indisunique or i.indisexclusion)
      join pg_catalog.pg_class c on c.oid = i.indexrelid and not c.relispartition
      left join pg_catalog.pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')
      where is_text
    )
    select
      pg_catalog.format('%s is no table: a view takes the policies of its tables with security_invoker', oid::regclass) as problem,
      case when relispartition then pg_catalog.format('alter table %s detach partition %s;', parent::regclass, oid::regclass)
        when parent is not null then pg_catalog.format('alter table %s no inherit %s;', oid::regclass, parent::regclass) end as mend
    from mine where not is_table
    union all
    select pg_catalog.format('%s has no column user_id', oid::regclass), null from mine where is_table and user_id is null
    union all
    select pg_catalog.format('the user_id of %s is %s and must be text', oid::regclass, type), null
    from mine where is_table and not is_text
    union all
    select pg_catalog.format('the user_id of %s must have a deterministic collation', oid::regclass), null
    from mine where is_table and is_text and not is_strict
    union all
    select pg_catalog.format('%s inherits from %s, which shows its rows without the policy', child::regclass, p.oid::regclass),
      case when c.relispartition then pg_catalog.format('alter table %s detach partition %s;', p.oid::regclass, c.oid::regclass)
        else pg_catalog.format('alter table %s no inherit %s;', c.oid::regclass, p.oid::regclass) end
    from ancestors join pg_catalog.pg_class p on p.oid = ancestors.oid join pg_catalog.pg_class c on c.oid = ancestors.child
    where not p.relforcerowsecurity and p.oid not in (select oid from mine)
    union all
    select pg_catalog.format('%s, of which it shows the rows, is shared with everybody', oid::regclass),
      pg_catalog.format('delete from trpc_bearer.shared_table where relation = %L::regclass; revoke all on %s from %I;',
        oid::regclass, oid::regclass, trpc_bearer.application_role())
    from mine where parent is not null and oid in (select trpc_bearer.shared_tables())
    union all
    select pg_catalog.format('its key %s does not start with user_id', indexrelid::regclass), mend
    from keys where not is_own or is_loose
    union all
    select pg_catalog.format('its key %s must take user_id by a deterministic collation', indexrelid::regclass), mend
    from keys where is_own and not is_loose and not is_strict
    union all
    select pg_catalog.format('its foreign key %I leads neither from user_id to user_id nor to a table that was shared', k.conname),
      pg_catalog.format('alter table %s drop constraint %I;', k.conrelid::regclass, k.conname)
    from mine
    join pg_catalog.pg_constraint k on k.conrelid = mine.oid and k.contype = 'f' and k.conparentid = 0
    join pg_catalog.pg_class r on r.oid = k.confrelid
    left join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attname = 'user_id'
    where case when r.relforcerowsecurity then k.conkey[array_position(k.confkey, a.attnum)] is distinct from mine.user_id
      else mine.user_id <> all (k.conkey) and r.oid not in (select trpc_bearer.shared_tables()) end`.execute(
    db,
  )
  return rows
}

/**
 * Whether each statement on the table would read the rows of everybody: none of its indexes starts with `user_id`, or none of a
 * table that inherits from it. One that is not finished, or holds some rows alone, does not help.
 */
export async function lacksIndex(db: AnyKysely, relation: string): Promise<boolean> {
  const { rows } = await sql<{ lacks: boolean }>`
    with recursive ${family(relation)}
    select exists (
      select from family
      join pg_catalog.pg_class c on c.oid = family.oid and (c.relkind = 'r' or c.oid = ${relation}::regclass)
      join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id'
      where not exists (
        select from pg_catalog.pg_index i
        join pg_catalog.pg_class x on x.oid = i.indexrelid
        join pg_catalog.pg_am m on m.oid = x.relam and m.amname = 'btree'
        where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indcollation[0] = a.attcollation
          and i.indisvalid and i.indpred is null)
    ) as lacks`.execute(db)
  return rows[0]?.lacks ?? true
}

/**
 * Indexes of tables under the policy, of their partitions and of those that inherit from them, that tell injected SQL of rows of others.
 * The policy's condition must be one on the first column of the index. If not, a condition by a leakproof operator looks into the
 * index before the policy, or its order is walked through: errors and PostgreSQL's counters tell what was found.
 *
 * @param tables their names, with their schemas, as `format('%I.%I')` writes them
 * @returns the names of the indexes
 */
export async function tellingIndexes(db: AnyKysely, tables: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    with recursive ${familyOf(sql`
      select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where pg_catalog.format('%I.%I', n.nspname, c.relname) = any (${tables})`)}
    select distinct pg_catalog.format('%I.%I', n.nspname, x.relname) as name
    from family
    join pg_catalog.pg_attribute a on a.attrelid = family.oid and a.attname = 'user_id' and not a.attisdropped
    join pg_catalog.pg_index i on i.indrelid = family.oid
    join pg_catalog.pg_class x on x.oid = i.indexrelid and not x.relispartition
    join pg_catalog.pg_namespace n on n.oid = x.relnamespace
    join pg_catalog.pg_am am on am.oid = x.relam
    where not (am.amname in ('btree', 'hash', 'gist') and i.indkey[0] = a.attnum and i.indcollation[0] = a.attcollation and exists (
        select from pg_catalog.pg_opclass k join pg_catalog.pg_amop m on m.amopfamily = k.opcfamily
        where k.oid = i.indclass[0] and m.amopopr = 'pg_catalog.=(text,text)'::regoperator
      ))
      and (pg_catalog.pg_indexam_has_property(x.relam, 'can_order') or i.indpred is not null or exists (
        select from generate_series(1, i.indnkeyatts) n where pg_catalog.pg_index_column_has_property(x.oid, n, 'search_nulls')
      ) or exists (
        select from unnest(i.indclass) indexed (class)
        join pg_catalog.pg_opclass k on k.oid = indexed.class
        join pg_catalog.pg_amop m on m.amopfamily = k.opcfamily
        join pg_catalog.pg_operator o on o.oid = m.amopopr
        join pg_catalog.pg_proc f on f.oid = o.oprcode
        where f.proleakproof or m.amoppurpose = 'o'
      ))
    order by 1`.execute(db)
  return rows.map(row => row.name)
}
