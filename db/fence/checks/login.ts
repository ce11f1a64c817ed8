import { type Kysely, sql } from 'kysely'
import type { Database } from '../../schema.js'
import type { FenceGap } from '../gap.js'
import { revokeMembership, roleAttributes } from './role.js'

/**
 * Finds what the serving login may do besides becoming the application role. Injected SQL can switch back to the login and use it.
 * Rights to connect or to use a schema are ignored: they open no table. In a schema where it may create a table, that could hide another.
 */
export async function findLoginPrivileges(
  db: Kysely<Database>,
  role: string,
): Promise<Omit<FenceGap, 'object'>[]> {
  const { rows } = await sql<{ problem: string; fix: string; is_final: boolean }>`
    with login as (
      select r.*, quote_ident(rolname) as name, n.nspowner as owner
      from pg_catalog.pg_roles r cross join pg_catalog.pg_namespace n
      where rolname = session_user and nspname = 'trpc_bearer'
    ),
    held as (
      select d.deptype, d.classid, d.objid, case d.classid
          when 'pg_class'::regclass then 'table' when 'pg_proc'::regclass then 'routine'
          when 'pg_foreign_server'::regclass then 'foreign server' else replace(replace(o.type, '-', ' '), ' ACL', '') end as type,
        o.identity
      from login join pg_catalog.pg_shdepend d on d.refclassid = 'pg_authid'::regclass and d.refobjid = login.oid,
        pg_identify_object(d.classid, d.objid, 0) o
      -- Any query can create a large object (lo_create), and it opens no table.
      where d.classid <> 'pg_largeobject'::regclass and d.dbid in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
        and (d.deptype = 'o' or d.deptype = 'a' and d.classid not in ('pg_database'::regclass, 'pg_namespace'::regclass))
      group by d.deptype, d.classid, d.objid, o.type, o.identity
    ),
    owned as (
      select string_agg(type || ' ' || identity, ', ' order by n) filter (where n <= 3)
        || case when count(*) > 3 then format(' and %s more', count(*) - 3) else '' end as what
      from (select *, row_number() over (order by classid desc, identity) as n from held where deptype = 'o') o
    )
    -- Only another login fixes these.
    select format('login %s is %s', name,
        case when rolname = ${role} then 'the application role itself'
          when oid = 10 then 'the superuser of the cluster'
          else 'the owner of the schema trpc_bearer' end) as problem,
      format('create role server login noinherit password ''…''; grant %I to server; -- and use it in DATABASE_URL',
        ${role}::text) as fix,
      true as is_final
    from login where rolname = ${role} or oid = 10 or oid = owner
    union all
    select format('login %s is %s', login.name, a.name), format('alter role %s no%s;', login.name, a.name), false
    from login cross join lateral (select * from ${roleAttributes}) a where a.is_set
    union all
    select format('login %s inherits the rights of its roles', name), format('alter role %s noinherit;', name), false
    from login where rolinherit
    union all
    -- From PostgreSQL 16 on each membership has its own inherit option.
    select format('login %s inherits the rights of %s', login.name, m.roleid::regrole),
      format('grant %s to %s with inherit false granted by %s;', m.roleid::regrole, login.name, m.grantor::regrole), false
    from login join pg_catalog.pg_auth_members m on m.member = login.oid
    where (to_jsonb(m) ->> 'inherit_option')::boolean
    union all
    select format('login %s is a member of %s', login.name, m.roleid::regrole), ${revokeMembership}, false
    from login join pg_catalog.pg_auth_members m on m.member = login.oid
    where m.roleid::regrole <> ${role}::regrole
    union all
    select format('login %s owns %s', login.name, what), format('-- choose: give each of these another owner, or all of them at once, whatever they are: reassign owned by %s to %s;',
        login.name, owner::regrole), false
    from login cross join owned where what is not null
    union all
    select format('login %s may create tables in the schema %I', login.name, nspname),
      format('revoke create on schema %I from %s;', nspname, login.name), false
    from login cross join pg_catalog.pg_namespace s cross join aclexplode(s.nspacl) a
    where a.grantee = login.oid and a.privilege_type = 'CREATE'
    union all
    select format('login %s has rights on %s %s', login.name, held.type, held.identity),
      case when held.classid = 'pg_default_acl'::regclass
        then format('alter default privileges %s from %s;',
          regexp_replace(identity, ' on (\\w+)$', ' revoke all on \\1'), login.name)
        else format('revoke all on %s %s from %s;', held.type, held.identity, login.name) end, false
    from login cross join held where held.deptype = 'a'`.execute(db)
  const final = rows.find(row => row.is_final)
  return (final === undefined ? rows : [final]).map(({ problem, fix }) => ({ problem, fix }))
}
