import { type RawBuilder, sql } from 'kysely'
import type { AnyKysely } from '../schema.js'

/** A rule that a protected table breaks. */
export interface BrokenRule {
  problem: string
  /** The statement that fixes it, or null if the table must be created again. */
  fix: string | null
}

/**
 * SQL for `with recursive`: tables with their partitions and the tables that inherit from them.
 *
 * @param roots a query of oids, as `oid`
 */
const treeOf = (roots: RawBuilder<unknown>) => sql`tree as (
  select oid, null::oid as parent from (${roots}) root
  union
  select h.inhrelid, h.inhparent from tree join pg_catalog.pg_inherits h on h.inhparent = tree.oid
)`

/** SQL for `with recursive`: one table with its partitions and the tables that inherit from it. */
export const tableTree = (relation: string) => treeOf(sql`select ${relation}::regclass::oid as oid`)

/**
 * Finds the rules that a protected table breaks, with its partitions and the tables that inherit from it. A key that does not start
 * with `user_id` reveals that another user's row exists, and a parent table shows the rows.
 *
 * @param relation a name that `regclass` accepts
 */
export async function findBrokenRules(db: AnyKysely, relation: string): Promise<BrokenRule[]> {
  const { rows } = await sql<BrokenRule>`
    with recursive ${tableTree(relation)},
    -- Any other collation may treat two different ids as equal.
    deterministic as (select oid from pg_catalog.pg_collation where collisdeterministic),
    mine as (
      select c.oid, tree.parent, c.relkind in ('r', 'p') as is_table, c.relispartition, a.attnum as user_id,
        a.atttypid = 'text'::regtype as is_text, pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
        a.attcollation in (select oid from deterministic) as is_deterministic
      from tree join pg_catalog.pg_class c on c.oid = tree.oid
      left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped
    ),
    -- A table shows the rows of everything below it, so all ancestors count.
    ancestors as (
      select h.inhparent as oid, h.inhrelid as child from mine join pg_catalog.pg_inherits h on h.inhrelid = mine.oid
      union
      select h.inhparent, h.inhrelid from ancestors join pg_catalog.pg_inherits h on h.inhrelid = ancestors.oid
    ),
    keys as (
      select i.indexrelid, i.indkey[0] = mine.user_id as is_own,
        k.conexclop[1] is distinct from 'pg_catalog.=(text,text)'::regoperator and i.indisexclusion as is_loose,
        i.indcollation[0] in (select oid from deterministic) as is_deterministic,
        case when k.oid is null then pg_catalog.format('drop index %s;', i.indexrelid::regclass)
          else pg_catalog.format('alter table %s drop constraint %I;', k.conrelid::regclass, k.conname) end as fix
      from mine
      join pg_catalog.pg_index i on i.indrelid = mine.oid and (i.indisunique or i.indisexclusion)
      join pg_catalog.pg_class c on c.oid = i.indexrelid and not c.relispartition
      left join pg_catalog.pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')
      where is_text
    )
    select
      pg_catalog.format('%s is not a table (a view uses the policies of its tables if it has security_invoker)', oid::regclass) as problem,
      case when relispartition then pg_catalog.format('alter table %s detach partition %s;', parent::regclass, oid::regclass)
        when parent is not null then pg_catalog.format('alter table %s no inherit %s;', oid::regclass, parent::regclass) end as fix
    from mine where not is_table
    union all
    select pg_catalog.format('%s has no column user_id', oid::regclass), null from mine where is_table and user_id is null
    union all
    select pg_catalog.format('the user_id of %s has the type %s instead of text', oid::regclass, type), null
    from mine where is_table and not is_text
    union all
    select pg_catalog.format('the user_id of %s must have a deterministic collation', oid::regclass), null
    from mine where is_table and is_text and not is_deterministic
    union all
    select pg_catalog.format('%s inherits from %s, which shows its rows without a policy', child::regclass, p.oid::regclass),
      case when c.relispartition then pg_catalog.format('alter table %s detach partition %s;', p.oid::regclass, c.oid::regclass)
        else pg_catalog.format('alter table %s no inherit %s;', c.oid::regclass, p.oid::regclass) end
    from ancestors join pg_catalog.pg_class p on p.oid = ancestors.oid join pg_catalog.pg_class c on c.oid = ancestors.child
    where not p.relforcerowsecurity and p.oid not in (select oid from mine)
    union all
    select pg_catalog.format('its partition or child %s is shared with all users', oid::regclass),
      pg_catalog.format('delete from trpc_bearer.shared_table where relation = %L::regclass; revoke all on %s from %I;',
        oid::regclass, oid::regclass, trpc_bearer.application_role())
    from mine where parent is not null and oid in (select trpc_bearer.shared_tables())
    union all
    select pg_catalog.format('its key %s does not start with user_id', indexrelid::regclass), fix
    from keys where not is_own or is_loose
    union all
    select pg_catalog.format('its key %s must use a deterministic collation for user_id', indexrelid::regclass), fix
    from keys where is_own and not is_loose and not is_deterministic
    union all
    select pg_catalog.format('its foreign key %I neither maps user_id to user_id nor leads to a shared table', k.conname),
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
 * True if a statement would have to read the rows of all users, because the table or one that inherits from it has no valid btree
 * index that starts with `user_id`. Partial indexes do not count.
 */
export async function lacksUserIdIndex(db: AnyKysely, relation: string): Promise<boolean> {
  const { rows } = await sql<{ lacking: boolean }>`
    with recursive ${tableTree(relation)}
    select exists (
      select from tree
      join pg_catalog.pg_class c on c.oid = tree.oid and (c.relkind = 'r' or c.oid = ${relation}::regclass)
      join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id'
      where not exists (
        select from pg_catalog.pg_index i
        join pg_catalog.pg_class x on x.oid = i.indexrelid
        join pg_catalog.pg_am m on m.oid = x.relam and m.amname = 'btree'
        where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indcollation[0] = a.attcollation
          and i.indisvalid and i.indpred is null)
    ) as lacking`.execute(db)
  return rows[0]?.lacking ?? true
}

/**
 * Finds indexes of protected tables through which injected SQL can learn about rows of other users. If the policy cannot use the first
 * column, a leakproof condition or a sort reads the index before the policy, and errors or statistics reveal what it found.
 *
 * @param tables names with schemas, as `format('%I.%I')` writes them
 * @returns the names of the indexes
 */
export async function findLeakyIndexes(db: AnyKysely, tables: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    with recursive ${treeOf(sql`
      select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where pg_catalog.format('%I.%I', n.nspname, c.relname) = any (${tables})`)}
    select distinct pg_catalog.format('%I.%I', n.nspname, x.relname) as name
    from tree
    join pg_catalog.pg_attribute a on a.attrelid = tree.oid and a.attname = 'user_id' and not a.attisdropped
    join pg_catalog.pg_index i on i.indrelid = tree.oid
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
