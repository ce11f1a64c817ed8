import { type Kysely, sql } from 'kysely'
import type { Database } from '../../schema.js'
import { type FenceGap, isOfExtension, lenders, revoke } from '../gap.js'

/** What a role may have been given that no policy binds: `alter role` names them so, and with `no` before it the lack of them. */
export const attributes = sql`
  (values ('superuser', rolsuper), ('bypassrls', rolbypassrls), ('createrole', rolcreaterole), ('createdb', rolcreatedb),
    ('replication', rolreplication)) attribute (name, is_set)`

/** The statement that ends a membership `m`. From PostgreSQL 16 on, one that somebody else granted stays unless it is named. */
export const revokeMembership = sql`
  format('revoke %s from %s%s;', m.roleid::regrole, m.member::regrole,
    case when current_setting('server_version_num')::int >= 160000 then format(' granted by %s', m.grantor::regrole) end)`

/** The role that the policies are for, where that is another: callers would see nothing and write nothing. */
export async function gapsOfAnotherRole(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ name: string }>`select trpc_bearer.application_role() as name`.execute(db)
  return rows
    .filter(({ name }) => name !== role)
    .map(({ name }) => ({
      object: `role ${role}`,
      problem: `the migrations made the tables for another role, ${name}`,
      fix: `-- DATABASE_ROLE=${name}, or openDatabase({ role: '${name}' })`,
    }))
}

/**
 * The role itself, and those that it can become: what it inherits is looked at as its own, so that leaves those with powers that no
 * policy binds, owners, PostgreSQL's own roles (`pg_read_all_data` and kin), and those that it must switch to.
 */
export async function gapsOfRole(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{
    name: string
    isItself: boolean
    isUnbound: boolean
    powers: string[]
    revocations: string[]
  }>`
    select quote_ident(r.rolname) as name, r.rolname = ${role} as "isItself", rolsuper or rolbypassrls as "isUnbound", powers,
      array(
        select ${revokeMembership} from pg_catalog.pg_auth_members m
        where m.member = ${role}::regrole and pg_has_role(m.roleid, r.oid, 'member')
      ) as revocations
    from pg_catalog.pg_roles r
    cross join lateral (select array(select name from ${attributes} where is_set) as powers) p
    where case when r.rolname = ${role} then powers <> '{}'
      else pg_has_role(${role}, r.oid, 'member')
        and (powers <> '{}' or r.oid < 16384 or not pg_has_role(${role}, r.oid, 'usage')
          or exists (select from pg_catalog.pg_class c where c.relowner = r.oid))
        and not (select rolsuper from pg_catalog.pg_roles where rolname = ${role}) end
    order by 1`.execute(db)
  return rows.map(({ name, isItself, isUnbound, powers, revocations }) => ({
    object: `role ${role}`,
    problem: isItself
      ? `it is ${powers.join(', ')}, which policies do not bind`
      : `it can become ${name}, ${isUnbound ? 'whom policies do not bind' : 'who may reach more'}`,
    fix: isItself
      ? `alter role ${role} ${powers.map(power => `no${power}`).join(' ')};`
      : revocations.join(' '),
  }))
}

/** Where it may create: `select … into` would make a table there that all callers share. */
export async function gapsOfSchemas(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ object: string; lenders: string[] }>`
    select format('schema %I', nspname) as object,
      ${lenders(
        sql`select a.grantee from aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a where a.privilege_type = 'CREATE'`,
        role,
      )} as lenders
    from pg_catalog.pg_namespace
    where nspname !~ '^pg_(toast|temp)' and has_schema_privilege(${role}, oid, 'create') order by 1`.execute(
    db,
  )
  const problem = 'the role may make tables in it, which all callers would share'
  return rows.map(row => ({ object: row.object, problem, fix: revoke('create', row.object, row.lenders) }))
}

/** Numbers and settings beside the tables, with which a caller would change what others get. */
export async function gapsOfShared(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ object: string; right: string; lenders: string[] }>`
    select format('sequence %s', c.oid::regclass) as object, 'update' as right,
      ${lenders(
        sql`select a.grantee from aclexplode(coalesce(relacl, acldefault('s', relowner))) a where a.privilege_type = 'UPDATE'`,
        role,
      )} as lenders
    from pg_catalog.pg_class c
    where case when relkind = 'S' then has_sequence_privilege(${role}, c.oid, 'update') end and not ${isOfExtension}
    union all
    select format('parameter %s', parname), lower(given.privilege_type), ${lenders(
      sql`select a.grantee from aclexplode(paracl) a where a.privilege_type = given.privilege_type`,
      role,
    )}
    from pg_catalog.pg_parameter_acl, (values ('SET'), ('ALTER SYSTEM')) given (privilege_type)
    where has_parameter_privilege(${role}, parname, given.privilege_type)
    order by 1`.execute(db)
  const problem = 'the role may set it, which changes what other callers get'
  return rows.map(({ object, right, lenders }) => ({ object, problem, fix: revoke(right, object, lenders) }))
}
