import { type Kysely, sql } from 'kysely'
import type { Database } from '../../schema.js'
import { belongsToExtension, type FenceGap, granteesUsableBy, revoke } from '../gap.js'

/** Role attributes that bypass policies, by their names in `alter role` (`no` before a name takes it away). */
export const roleAttributes = sql`
  (values ('superuser', rolsuper), ('bypassrls', rolbypassrls), ('createrole', rolcreaterole), ('createdb', rolcreatedb),
    ('replication', rolreplication)) attribute (name, is_set)`

/** The statement that revokes membership `m`. PostgreSQL 16 and later need the name of the grantor. */
export const revokeMembership = sql`
  format('revoke %s from %s%s;', m.roleid::regrole, m.member::regrole,
    case when current_setting('server_version_num')::int >= 160000 then format(' granted by %s', m.grantor::regrole) end)`

/** Checks that the policies are for this role. If they are for another role, callers see and write nothing. */
export async function findRoleMismatch(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ name: string }>`select trpc_bearer.application_role() as name`.execute(db)
  return rows
    .filter(({ name }) => name !== role)
    .map(({ name }) => ({
      object: `role ${role}`,
      problem: `the migrations created the tables for another role, ${name}`,
      fix: `-- set DATABASE_ROLE=${name}, or call openDatabase({ role: '${name}' })`,
    }))
}

/**
 * Finds attributes of the role that policies do not restrict, and roles that it can become: owners of tables, predefined roles such
 * as `pg_read_all_data`, roles with such attributes, and roles that it does not inherit from. Inherited grants are checked as its own.
 */
export async function findRoleGaps(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{
    name: string
    isItself: boolean
    bypassesPolicies: boolean
    attributes: string[]
    revocations: string[]
  }>`
    select quote_ident(r.rolname) as name, r.rolname = ${role} as "isItself", rolsuper or rolbypassrls as "bypassesPolicies", attributes,
      array(
        select ${revokeMembership} from pg_catalog.pg_auth_members m
        where m.member = ${role}::regrole and pg_has_role(m.roleid, r.oid, 'member')
      ) as revocations
    from pg_catalog.pg_roles r
    cross join lateral (select array(select name from ${roleAttributes} where is_set) as attributes) p
    where case when r.rolname = ${role} then attributes <> '{}'
      else pg_has_role(${role}, r.oid, 'member')
        and (attributes <> '{}' or r.oid < 16384 or not pg_has_role(${role}, r.oid, 'usage')
          or exists (select from pg_catalog.pg_class c where c.relowner = r.oid))
        and not (select rolsuper from pg_catalog.pg_roles where rolname = ${role}) end
    order by 1`.execute(db)
  return rows.map(({ name, isItself, bypassesPolicies, attributes, revocations }) => ({
    object: `role ${role}`,
    problem: isItself
      ? `it is ${attributes.join(', ')}, which policies do not restrict`
      : `it can become ${name}, which ${bypassesPolicies ? 'bypasses policies' : 'may reach more'}`,
    fix: isItself
      ? `alter role ${role} ${attributes.map(attribute => `no${attribute}`).join(' ')};`
      : revocations.join(' '),
  }))
}

/** Finds schemas in which the role may create tables (`select … into`). All callers would share such a table. */
export async function findSchemaGaps(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ object: string; grantees: string[] }>`
    select format('schema %I', nspname) as object,
      ${granteesUsableBy(
        sql`select a.grantee from aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a where a.privilege_type = 'CREATE'`,
        role,
      )} as grantees
    from pg_catalog.pg_namespace
    where nspname !~ '^pg_(toast|temp)' and has_schema_privilege(${role}, oid, 'create') order by 1`.execute(
    db,
  )
  const problem = 'the role may create tables in it, and all callers would share them'
  return rows.map(row => ({ object: row.object, problem, fix: revoke('create', row.object, row.grantees) }))
}

/** Finds sequences and server settings that one caller may change for all others. */
export async function findSharedStateGaps(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ object: string; right: string; grantees: string[] }>`
    select format('sequence %s', c.oid::regclass) as object, 'update' as right,
      ${granteesUsableBy(
        sql`select a.grantee from aclexplode(coalesce(relacl, acldefault('s', relowner))) a where a.privilege_type = 'UPDATE'`,
        role,
      )} as grantees
    from pg_catalog.pg_class c
    where case when relkind = 'S' then has_sequence_privilege(${role}, c.oid, 'update') end and not ${belongsToExtension}
    union all
    select format('parameter %s', parname), lower(given.privilege_type), ${granteesUsableBy(
      sql`select a.grantee from aclexplode(paracl) a where a.privilege_type = given.privilege_type`,
      role,
    )}
    from pg_catalog.pg_parameter_acl, (values ('SET'), ('ALTER SYSTEM')) given (privilege_type)
    where has_parameter_privilege(${role}, parname, given.privilege_type)
    order by 1`.execute(db)
  const problem = 'the role may change it, and this affects other callers'
  return rows.map(({ object, right, grantees }) => ({
    object,
    problem,
    fix: revoke(right, object, grantees),
  }))
}
