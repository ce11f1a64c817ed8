import { type Kysely, sql } from 'kysely'
import type { Database } from '../../schema.js'
import { belongsToExtension, type FenceGap, revoke } from '../gap.js'

/**
 * Finds system tables, views and functions on which somebody granted more than `initdb` does. For example `pg_statistic` holds
 * values from every user's rows, `pg_authid` holds passwords, and `pg_read_file` reads files of the server.
 */
export async function findCatalogueGaps(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ name: string; grants: [privileges: string, grantee: string][] }>`
    -- pg_init_privs lacks the grants of initdb in information_schema.
    with closed as (
      select 'pg_class'::regclass as class, c.oid, c.oid::regclass::text as name, relacl as list,
        nspname = 'information_schema' and relname !~ '^_pg_' as is_read_by_all
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
      where nspname in ('pg_catalog', 'information_schema', 'pg_toast') and not ${belongsToExtension}
      union all
      -- Functions such as pg_read_file: initdb revokes them from PUBLIC.
      select classoid, f.oid, 'function ' || f.oid::regprocedure, coalesce(proacl, acldefault('f', proowner)), false
      from pg_catalog.pg_init_privs join pg_catalog.pg_proc f on f.oid = objoid
      where classoid = 'pg_proc'::regclass and privtype = 'i'
    ),
    given as (
      select class, oid, name, 0 as column_number, '' as column_name, is_read_by_all, list from closed
      union all
      select class, oid, name, attnum, format(' (%I)', attname), is_read_by_all, attacl
      from closed join pg_catalog.pg_attribute on class = 'pg_class'::regclass and attrelid = oid where attacl is not null
    ),
    initial as (
      select classoid, objoid, objsubid, a.grantee, a.privilege_type from pg_catalog.pg_init_privs, aclexplode(initprivs) a
    ),
    excess as (
      select name, case a.grantee when 0 then 'public' else a.grantee::regrole::text end as grantee,
        string_agg(lower(privilege_type) || column_name, ', ') as privileges
      from given, aclexplode(list) a
      where (a.grantee = 0 or pg_has_role(${role}, a.grantee, 'usage'))
        and (class, oid, column_number, a.grantee, privilege_type) not in (select * from initial)
        and not (is_read_by_all and a.grantee = 0 and privilege_type = 'SELECT')
      group by name, a.grantee
    )
    select name, json_agg(json_build_array(privileges, grantee)) as grants from excess group by name order by 1`.execute(
    db,
  )
  return rows.map(({ name, grants }) => ({
    object: name,
    problem: 'PostgreSQL closes it by default, but the role can reach it',
    fix: grants.map(([privileges, grantee]) => revoke(privileges, name, [grantee])).join(' '),
  }))
}
