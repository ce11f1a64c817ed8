import { type RawBuilder, sql } from 'kysely'
import type { AnyKysely } from '../schema.js'
import { protectedTables } from './policies.js'

/** Something about a table that opens or reveals rows of other users. */
export interface Finding {
  problem: string
  /** The statement that fixes it, a comment with a choice, or null if the table must be created again. */
  fix: string | null
}

/**
 * SQL for `with recursive`: tables with their partitions and the tables that inherit from them.
 *
 * @param roots a query of oids, as `oid`
 */
const treeOf = (roots: RawBuilder<unknown>) => sql`tree as (
  select oid, oid as root, null::oid as parent from (${roots}) root
  union
  select h.inhrelid, tree.root, h.inhparent from tree join pg_catalog.pg_inherits h on h.inhparent = tree.oid
)`

/** SQL for `with recursive`: one table with its partitions and the tables that inherit from it. */
export const tableTree = (relation: string) => treeOf(sql`select ${relation}::regclass::oid as oid`)

/** SQL for `with recursive`: the tables above those of `tree`. They show its rows. */
export const ancestorsOfTree = sql`ancestors as (
  select h.inhparent as oid, h.inhrelid as child from tree join pg_catalog.pg_inherits h on h.inhrelid = tree.oid
  union
  select h.inhparent, h.inhrelid from ancestors join pg_catalog.pg_inherits h on h.inhrelid = ancestors.oid
)`

/** SQL: the statement that takes the rows of a partition or child out of its parent. */
const separation = (
  parent: RawBuilder<unknown>,
  child: RawBuilder<unknown>,
  isPartition: RawBuilder<unknown>,
) => sql`
  case when ${isPartition} then pg_catalog.format('alter table %s detach partition %s;', ${parent}::regclass, ${child}::regclass)
    else pg_catalog.format('alter table %s no inherit %s;', ${child}::regclass, ${parent}::regclass) end`

/** SQL: what makes a statement a comment if it changes a table that was not given to `protectTable`: that is for its owner to choose. */
const commentUnlessGiven = (relation: RawBuilder<unknown>) => sql`
  case when ${relation} in (select relation from trpc_bearer.protected_tables()) then '' else '-- choose: ' end`

/**
 * SQL for `with recursive`: whose change a foreign key of the owner column would carry into the rows of `mine`, as the owner of the table
 * and whatever the policies are. It follows the keys of those tables in turn. `is_writable`: a caller may change or delete rows of this
 * table or of one below it, other than only the own row.
 */
const changesOf = (owner: string, by: string) => sql`
    carried as (
      select k.oid as root, k.confrelid as oid, k.confkey[array_position(k.conkey, a.attnum)] as number,
        k.confupdtype in ('c', 'n', 'd') as by_update,
        k.confdeltype in ('n', 'd') and coalesce(a.attnum = any (k.confdelsetcols), true) as by_delete
      from mine
      join pg_catalog.pg_attribute a on a.attrelid = mine.oid and a.attname = ${owner} and not a.attisdropped
      join pg_catalog.pg_constraint k on k.conrelid = mine.oid and k.contype = 'f' and a.attnum = any (k.conkey)
      left join pg_catalog.pg_constraint parent on parent.oid = k.conparentid
      where parent.oid is null or parent.conrelid not in (select oid from mine)
      union
      select carried.root, k.confrelid, case when carried.number = any (k.conkey) then k.confkey[array_position(k.conkey, carried.number)] end,
        carried.by_update and k.confupdtype in ('c', 'n', 'd') and carried.number = any (k.conkey),
        carried.by_delete and k.confdeltype = 'c'
          or carried.by_update and k.confdeltype in ('n', 'd') and carried.number = any (k.conkey)
      from carried join pg_catalog.pg_constraint k on k.conrelid = carried.oid and k.contype = 'f'
      where carried.by_update or carried.by_delete
    ),
    below as (
      select oid as top, oid from carried
      union
      select below.top, h.inhrelid from below join pg_catalog.pg_inherits h on h.inhparent = below.oid
    ),
    changes as (
      select root, oid, (
          select bool_or(by_update and pg_catalog.has_any_column_privilege(trpc_bearer.application_role(), below.oid, 'update')
            or by_delete and pg_catalog.has_table_privilege(trpc_bearer.application_role(), below.oid, 'delete'))
          from below where below.top = carried.oid
        ) and not exists (
          select from trpc_bearer.protected_tables() target
          join pg_catalog.pg_attribute t on t.attrelid = target.relation and t.attname = target.owner
          where target.relation = carried.oid and target.owned_by = ${by} and t.attnum = carried.number
        ) as is_writable
      from carried where by_update or by_delete
    )`

/**
 * Finds what keeps a policy from protecting a table, its partitions and the tables that inherit from it.
 *
 * @param relation a name that `regclass` accepts
 * @param owner the owner column, and which value of the caller it holds
 */
export async function findBrokenRules(
  db: AnyKysely,
  relation: string,
  { name: owner, by }: { name: string; by: string },
): Promise<Finding[]> {
  const { rows } = await sql<Finding>`
    with recursive ${tableTree(relation)}, ${ancestorsOfTree},
    mine as (
      select c.oid, tree.parent, c.relkind in ('r', 'p') as is_table, c.relispartition,
        -- Any other collation may treat two different ids as equal.
        a.attcollation = 0 or a.attcollation in (select oid from pg_catalog.pg_collation where collisdeterministic) as is_exact
      from tree join pg_catalog.pg_class c on c.oid = tree.oid
      left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = ${owner} and not a.attisdropped
    ),
    ${changesOf(owner, by)}
    select
      pg_catalog.format('%s is not a table (a view uses the policies of its tables if it has security_invoker)', oid::regclass) as problem,
      case when parent is not null then pg_catalog.format('-- choose: copy its rows into a table, or take them out: %s',
        ${separation(sql`parent`, sql`oid`, sql`relispartition`)}) end as fix
    from mine where not is_table
    union all
    select pg_catalog.format('the column %I of %s must have a deterministic collation', ${owner}::text, oid::regclass), null
    from mine where is_table and not is_exact
    union all
    select pg_catalog.format('%s inherits from %s, which shows its rows to all users', child::regclass, p.oid::regclass),
      case when p.oid in (select relation from trpc_bearer.protected_tables())
        then pg_catalog.format('alter table %s enable row level security;', p.oid::regclass)
        else pg_catalog.format('-- choose: protectTable for %s too, in a migration, or take the rows out of it: %s', p.oid::regclass,
          ${separation(sql`p.oid`, sql`c.oid`, sql`c.relispartition`)}) end
    from ancestors join pg_catalog.pg_class p on p.oid = ancestors.oid join pg_catalog.pg_class c on c.oid = ancestors.child
    where p.oid not in (select oid from mine) and (
      not p.relrowsecurity
      or p.oid in (select trpc_bearer.shared_tables()) and p.oid not in (select relation from trpc_bearer.protected_tables())
    )
    union all
    select pg_catalog.format('the foreign key %I of %s can give a row to another owner, if a caller changes %s',
        k.conname, k.conrelid::regclass, changing.oid::regclass),
      case when k.conparentid = 0 then ${commentUnlessGiven(sql`k.conrelid`)} || pg_catalog.format('alter table %s drop constraint %I, add constraint %2$I %s;', k.conrelid::regclass, k.conname,
        regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' ON (UPDATE|DELETE) (CASCADE|SET NULL|SET DEFAULT)( \\([^)]*\\))?', '', 'g'))
      else '-- change the foreign key of the table that this is a partition of' end
    from (select distinct on (root) root, oid from changes where is_writable order by root, oid) changing
    join pg_catalog.pg_constraint k on k.oid = changing.root
    union all
    select pg_catalog.format('%s inherits from it, or it from %1$s, and the rows of %1$s belong to another owner (%I, by %s)',
        other.relation, other.owner, other.owned_by),
      '-- choose: protectTable for both with the same owner, or take one out of the other'
    from (select oid from mine union select oid from ancestors) related
    join trpc_bearer.protected_tables() other on other.relation = related.oid
    where related.oid <> ${relation}::regclass and (other.owner <> ${owner}::name or other.owned_by <> ${by})
    union all
    select pg_catalog.format('its partition or child %s is shared with all users', oid::regclass),
      pg_catalog.format('delete from trpc_bearer.shared_table where relation = %L::regclass; revoke all on %s from %I;',
        oid::regclass, oid::regclass, trpc_bearer.application_role())
    from mine where parent is not null and oid in (select trpc_bearer.shared_tables())`.execute(db)
  return rows
}

/**
 * Finds keys that reveal to a caller whether a row of another user exists: a unique key that does not start with the owner (its value
 * is taken), and a foreign key that leads to rows of others (its target exists). They show no column of the row.
 *
 * @param relation a name that `regclass` accepts
 * @param owner name of the owner column
 */
export async function findRevealingKeys(db: AnyKysely, relation: string, owner: string): Promise<Finding[]> {
  const { rows } = await sql<Finding>`
    with recursive ${tableTree(relation)},
    mine as (
      select tree.oid, a.attnum as owner from tree
      join pg_catalog.pg_attribute a on a.attrelid = tree.oid and a.attname = ${owner} and not a.attisdropped
    ),
    own as ${protectedTables},
    keys as (
      select i.indexrelid,
        case when i.indisexclusion then pg_catalog.format('the same with %I, compared by =, in front', ${owner}::text)
        else pg_catalog.format('create unique index%s on %s (%s)%s;', case when t.relkind = 'p' then '' else ' concurrently' end,
          i.indrelid::regclass,
          pg_catalog.concat_ws(', ', pg_catalog.quote_ident(${owner}), (
            select pg_catalog.string_agg(pg_catalog.pg_get_indexdef(i.indexrelid, n, true), ', ' order by n)
            from generate_series(1, i.indnkeyatts) n where i.indkey[n - 1] <> mine.owner
          )), ' where ' || pg_catalog.pg_get_expr(i.indpred, i.indrelid, true)) end as better,
        i.indkey[0] = mine.owner and (not i.indisexclusion or x.conexclop[1] = own.equality)
          and exists (
            select from pg_catalog.pg_opclass k join pg_catalog.pg_amop m on m.amopfamily = k.opcfamily
            where k.oid = i.indclass[0] and m.amopopr = own.equality
          )
          and i.indcollation[0] in (select 0 union all select oid from pg_catalog.pg_collation where collisdeterministic) as is_own
      from mine
      join own on own.oid = ${relation}::regclass
      join pg_catalog.pg_index i on i.indrelid = mine.oid and (i.indisunique or i.indisexclusion)
      join pg_catalog.pg_class t on t.oid = i.indrelid
      join pg_catalog.pg_class c on c.oid = i.indexrelid and not c.relispartition
      left join pg_catalog.pg_constraint x on x.conindid = i.indexrelid and x.contype = 'x'
    )
    select pg_catalog.format('its key %s does not start with %I, so a caller can find out whether a value exists in somebody''s row',
        indexrelid::regclass, ${owner}::text) as problem,
      pg_catalog.format('-- no problem if nobody can guess the values (random ids); else use instead: %s', better) as fix
    from keys where not is_own
    union all
    select pg_catalog.format('its foreign key %I leads to rows of others in %s, so a caller can find out whether such a row exists%s',
        k.conname, k.confrelid::regclass,
        '. Whoever changes or deletes that row also changes or deletes the rows that refer to it: '
          || substring(pg_catalog.pg_get_constraintdef(k.oid) from 'ON (?:UPDATE|DELETE) (?:CASCADE|SET).*')),
      '-- no problem if nobody can guess the values (random ids); else let the key contain the owner column of both tables'
    from mine
    join pg_catalog.pg_constraint k on k.conrelid = mine.oid and k.contype = 'f' and k.conparentid = 0
    left join own on own.oid = k.confrelid
    where case when own.oid is not null then own.owned_by <> (select owned_by from own where oid = ${relation}::regclass)
        or k.conkey[array_position(k.confkey, own.owner_number)] is distinct from mine.owner
      else k.conkey <> array[mine.owner] and k.confrelid not in (select trpc_bearer.shared_tables()) end`.execute(
    db,
  )
  return rows
}

/** A table in which a statement would have to read the rows of all users. */
interface TableWithoutIndex {
  name: string
  isPartitioned: boolean
  isRoot: boolean
  bytes: number
}

/**
 * Finds the tables that have no valid btree index that starts with the owner: the given one, its partitions and those that inherit from
 * it. Partial indexes do not count.
 */
export async function findTablesWithoutOwnerIndex(
  db: AnyKysely,
  relation: string,
  owner: string,
): Promise<TableWithoutIndex[]> {
  const { rows } = await sql<TableWithoutIndex>`
    with recursive ${tableTree(relation)}
    select c.oid::regclass::text as name, c.relkind = 'p' as "isPartitioned", c.oid = ${relation}::regclass as "isRoot",
      pg_catalog.pg_table_size(c.oid)::float8 as bytes
    from tree
    join pg_catalog.pg_class c on c.oid = tree.oid and (c.relkind = 'r' or c.oid = ${relation}::regclass)
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = ${owner}
    where not exists (
      select from pg_catalog.pg_index i
      join pg_catalog.pg_class x on x.oid = i.indexrelid
      join pg_catalog.pg_am m on m.oid = x.relam and m.amname = 'btree'
      where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indcollation[0] = a.attcollation
        and i.indisvalid and i.indpred is null)
    order by 1`.execute(db)
  return rows
}

/**
 * Finds indexes of protected tables through which injected SQL can learn about rows of other users. If the policy cannot use the first
 * column, a leakproof condition or a sort reads the index before the policy, and PostgreSQL's counters reveal how much it found. Keys
 * are found by `findRevealingKeys`.
 *
 * @param tables names with schemas, as `format('%I.%I')` writes them
 * @returns the indexes, the owner column that each should start with, and the statement that drops it
 */
export async function findLeakyIndexes(
  db: AnyKysely,
  tables: readonly string[],
): Promise<{ name: string; owner: string; fix: string }[]> {
  const { rows } = await sql<{ name: string; owner: string; fix: string }>`
    with recursive own as ${protectedTables}, ${treeOf(sql`
      select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where pg_catalog.format('%I.%I', n.nspname, c.relname) = any (${tables})`)}
    select distinct pg_catalog.format('%I.%I', n.nspname, x.relname) as name, own.owner,
      pg_catalog.format('drop index %I.%I;', n.nspname, x.relname) as fix
    from tree
    join own on own.oid = tree.root
    join pg_catalog.pg_attribute a on a.attrelid = tree.oid and a.attname = own.owner and not a.attisdropped
    join pg_catalog.pg_index i on i.indrelid = tree.oid and not i.indisunique and not i.indisexclusion
    join pg_catalog.pg_class x on x.oid = i.indexrelid and not x.relispartition
    join pg_catalog.pg_namespace n on n.oid = x.relnamespace
    join pg_catalog.pg_am am on am.oid = x.relam
    where not (am.amname in ('btree', 'hash', 'gist') and i.indkey[0] = a.attnum and i.indcollation[0] = a.attcollation and exists (
        select from pg_catalog.pg_opclass k join pg_catalog.pg_amop m on m.amopfamily = k.opcfamily
        where k.oid = i.indclass[0] and m.amopopr = own.equality
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
  return rows
}
