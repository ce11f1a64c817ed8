import { type Kysely, sql } from 'kysely'
import type { Database } from '../../schema.js'
import type { FenceGap } from '../gap.js'

/**
 * Finds functions of the application that run with the rights of their owner (`security definer`) and that the role may call. Policies do
 * not restrict the owner of a table, so such a function sees the rows of all users.
 */
export async function findOwnersFunctions(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ name: string; kind: string }>`
    select f.oid::regprocedure::text as name, case prokind when 'p' then 'procedure' else 'function' end as kind
    from pg_catalog.pg_proc f join pg_catalog.pg_namespace n on n.oid = f.pronamespace
    where f.prosecdef and f.prorettype <> 'trigger'::regtype
      and n.nspname not in ('pg_catalog', 'information_schema', 'trpc_bearer')
      and has_function_privilege(${role}, f.oid, 'execute')
      and not exists (
        select from pg_catalog.pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = f.oid and d.deptype = 'e')
    order by 1`.execute(db)
  return rows.map(({ name, kind }) => ({
    object: `${kind} ${name}`,
    problem: 'it runs with the rights of its owner, who sees the rows of all users',
    fix: `-- check that it returns only what every caller may see; else: alter ${kind} ${name} security invoker;`,
  }))
}
