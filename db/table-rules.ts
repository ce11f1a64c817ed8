import { sql } from 'kysely'
import type { AnyKysely } from './any-kysely.js'

/**
 * Rules that a table under the policy must keep, beyond the policy: without them its keys tell whether another user's row
 * exists, as an insert that is refused for a key is seen by whoever tries.
 *
 * @param relation what `regclass` takes
 * @returns what is wrong, in words; nothing when all is well
 */
export async function brokenTableRules(db: AnyKysely, relation: string): Promise<string[]> {
  const { rows } = await sql<{ problem: string }>`
    with mine as (
      select c.oid, c.relkind, a.attnum as user_id
      from pg_catalog.pg_class c
      left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped
      where c.oid = ${relation}::regclass
    )
    select 'it is no table: a view takes the policies of its tables with security_invoker' as problem
    from mine where relkind not in ('r', 'p')
    union all
    select 'it has no column user_id' from mine where relkind in ('r', 'p') and user_id is null
    union all
    select pg_catalog.format('its key %s does not start with user_id', i.indexrelid::regclass)
    from mine join pg_catalog.pg_index i on i.indrelid = mine.oid
    where (i.indisunique or i.indisexclusion) and i.indkey[0] is distinct from mine.user_id
    union all
    select pg_catalog.format('its foreign key %I does not lead from user_id to user_id', k.conname)
    from mine
    join pg_catalog.pg_constraint k on k.conrelid = mine.oid and k.contype = 'f'
    join pg_catalog.pg_class r on r.oid = k.confrelid and r.relforcerowsecurity
    left join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attname = 'user_id'
    where k.conkey[array_position(k.confkey, a.attnum)] is distinct from mine.user_id`.execute(db)
  return rows.map(row => row.problem)
}
