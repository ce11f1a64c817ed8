import { type Kysely, sql } from 'kysely'
import { type FenceGap, revoke } from './fence-gap.js'
import type { Database } from './schema.js'

/**
 * The role itself, and those that it can become: what it inherits is looked at as its own, so that leaves superusers, PostgreSQL's
 * own roles (`pg_read_all_data` and kin), and those that it must switch to.
 */
export async function gapsOfRole(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ name: string; isItself: boolean; isUnbound: boolean }>`
    select quote_ident(rolname) as name, rolname = ${role} as "isItself", rolsuper or rolbypassrls as "isUnbound"
    from pg_catalog.pg_roles
    where case when rolname = ${role} then rolsuper or rolbypassrls
      else pg_has_role(${role}, oid, 'member')
        and (rolsuper or rolbypassrls or oid < 16384 or not pg_has_role(${role}, oid, 'usage'))
        and not (select rolsuper from pg_catalog.pg_roles where rolname = ${role}) end`.execute(db)
  return rows.map(({ name, isItself, isUnbound }) => ({
    object: `role ${role}`,
    problem: isItself
      ? 'policies do not bind it'
      : `it can become ${name}, ${isUnbound ? 'whom policies do not bind' : 'who may reach more'}`,
    mend: isItself ? `alter role ${role} nosuperuser nobypassrls;` : `revoke ${name} from ${role};`,
  }))
}

/** Where it may create: `select … into` would make a table there that all callers share. */
export async function gapsOfSchemas(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ object: string }>`
    select format('schema %I', nspname) as object from pg_catalog.pg_namespace
    where nspname !~ '^pg_(toast|temp)' and has_schema_privilege(${role}, oid, 'create') order by 1`.execute(
    db,
  )
  const problem = 'the role may make tables in it, which all callers would share'
  return rows.map(({ object }) => ({ object, problem, mend: revoke('create', object, role) }))
}
