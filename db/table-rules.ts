import { sql } from 'kysely'
import type { AnyKysely } from './any-kysely.js'

/**
 * Rules that a table under the policy must keep, beyond the policy, with its partitions and the tables that inherit from it:
 * without them its keys tell whether another user's row exists, as an insert that is refused for a key is seen by whoever tries,
 * or a table that it inherits from shows its rows.
 *
 * @param relation what `regclass` takes
 * @returns what is wrong, in words; nothing when all is well
 */
export async function brokenTableRules(db: AnyKysely, relation: string): Promise<string[]> {
  const { rows } = await sql<{ problem: string }>`
    with recursive family as (
      select ${relation}::regclass::oid as oid
      union
      select h.inhrelid from family join pg_catalog.pg_inherits h on h.inhparent = family.oid
    ),
    mine as (
      select c.oid, c.relkind in ('r', 'p') as is_table, a.attnum as user_id,
        a.atttypid = 'text'::regtype and a.attcollation in (select oid from strict) as is_exact
      from family join pg_catalog.pg_class c on c.oid = family.oid
      left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped
    ),
    -- The others take different ids for the same.
    strict as (select oid from pg_catalog.pg_collation where collisdeterministic)
    select pg_catalog.format('%s is no table: a view takes the policies of its tables with security_invoker', oid::regclass) as problem
    from mine where not is_table
    union all
    select pg_catalog.format('%s has no column user_id', oid::regclass) from mine where is_table and user_id is null
    union all
    select pg_catalog.format('the user_id of %s is not text with a deterministic collation', oid::regclass)
    from mine where is_table and not is_exact
    union all
    select pg_catalog.format('%s inherits from %s, which shows its rows without the policy', h.inhrelid::regclass, p.oid::regclass)
    from mine join pg_catalog.pg_inherits h on h.inhrelid = mine.oid join pg_catalog.pg_class p on p.oid = h.inhparent
    where not p.relforcerowsecurity and p.oid not in (select oid from mine)
    union all
    select pg_catalog.format('its key %s does not start with user_id', i.indexrelid::regclass)
    from mine join pg_catalog.pg_index i on i.indrelid = mine.oid
    where (i.indisunique or i.indisexclusion) and (
      i.indkey[0] is distinct from mine.user_id
      or i.indcollation[0] not in (select oid from strict)
      or exists (
        select from pg_catalog.pg_constraint k
        where k.conindid = i.indexrelid and k.conexclop[1] <> 'pg_catalog.=(text,text)'::regoperator))
    union all
    select pg_catalog.format('its foreign key %I leads neither from user_id to user_id nor to a table that was shared', k.conname)
    from mine
    join pg_catalog.pg_constraint k on k.conrelid = mine.oid and k.contype = 'f' and k.conparentid = 0
    join pg_catalog.pg_class r on r.oid = k.confrelid
    left join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attname = 'user_id'
    where case when r.relforcerowsecurity then k.conkey[array_position(k.confkey, a.attnum)] is distinct from mine.user_id
      else mine.user_id <> all (k.conkey) and r.oid not in (select trpc_bearer.shared_tables()) end`.execute(
    db,
  )
  return rows.map(row => row.problem)
}
