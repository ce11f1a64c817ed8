import { type Kysely, sql } from 'kysely'
import type { Database } from '../../schema.js'
import { type FenceGap, isOfExtension, revoke } from '../gap.js'

/**
 * Tables, views and functions of PostgreSQL's own that the role can reach because somebody granted more on them than `initdb` does:
 * `pg_statistic` holds values of everybody's rows, `pg_authid` the passwords, and `pg_read_file` reads the server's files.
 */
export async function gapsOfCatalogue(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ name: string; grants: [privileges: string, lender: string][] }>`
    -- pg_init_privs does not hold what initdb grants in information_schema.
    with closed as (
      select 'pg_class'::regclass as class, c.oid, c.oid::regclass::text as name, relacl as list,
        nspname = 'information_schema' and relname !~ '^_pg_' as is_read_by_all
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
      where nspname in ('pg_catalog', 'information_schema', 'pg_toast') and not ${isOfExtension}
      union all
      -- Such as pg_read_file: initdb takes them from everybody.
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
      select name, case a.grantee when 0 then 'public' else a.grantee::regrole::text end as lender,
        string_agg(lower(privilege_type) || column_name, ', ') as privileges
      from given, aclexplode(list) a
      where (a.grantee = 0 or pg_has_role(${role}, a.grantee, 'usage'))
        and (class, oid, column_number, a.grantee, privilege_type) not in (select * from initial)
        and not (is_read_by_all and a.grantee = 0 and privilege_type = 'SELECT')
      group by name, a.grantee
    )
    select name, json_agg(json_build_array(privileges, lender)) as grants from excess group by name order by 1`.execute(
    db,
  )
  return rows.map(({ name, grants }) => ({
    object: name,
    problem: 'PostgreSQL keeps it closed, and the role can reach it',
    fix: grants.map(([privileges, lender]) => revoke(privileges, name, [lender])).join(' '),
  }))
}
