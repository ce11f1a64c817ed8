import { sql } from 'kysely'
import type { AnyKysely } from '../schema.js'
import { findOwnerColumn, type OwnerColumn, type OwnerType, ownerTypes } from './owner.js'
import { appliesTo } from './policies.js'
import { findBrokenRules } from './rules.js'

/**
 * Checks that `protectTable` can protect a table so that callers can use it.
 *
 * @param relation a name that `regclass` accepts
 * @param options.role the application role
 * @returns the owner column
 * @throws Error that says what is wrong
 */
export async function requireProtectable(
  db: AnyKysely,
  relation: string,
  { column, by, role }: { column: string; by: string; role: string },
): Promise<OwnerColumn & { type: OwnerType }> {
  const cannot = (why: string) => new Error(`${relation.replaceAll('"', '')} cannot be protected: ${why}.`)
  const found = await requireOwnerColumn(db, relation, column, cannot)
  const broken = await findBrokenRules(db, relation, { name: column, by })
  if (broken.length > 0) throw cannot(broken.map(({ problem }) => problem).join(', '))
  const [policy] = await otherPolicies(db, relation, role)
  if (policy !== undefined)
    throw cannot(
      `its policy ${policy} applies to ${role} too. Drop it, give it to other roles, or make it restrictive with a name that sorts after own_rows_first`,
    )
  const [rule] = await findRules(db, relation)
  if (rule !== undefined)
    throw cannot(`its rule ${rule} runs with the rights of the owner. Drop it, or use a trigger instead`)
  const [closed] = await findClosedFunctions(db, relation, role)
  if (closed !== undefined)
    throw cannot(
      `its ${closed.user} calls ${closed.name}, which ${role} may not execute, so no insert would succeed. Run: grant execute on function ${closed.name} to ${role}`,
    )
  return found
}

async function requireOwnerColumn(
  db: AnyKysely,
  relation: string,
  column: string,
  cannot: (why: string) => Error,
): Promise<OwnerColumn & { type: OwnerType }> {
  const found = await findOwnerColumn(db, relation, column)
  if (found === null) throw cannot(`it has no column ${column}. Name the column of its owner: { owner: '…' }`)
  const type = ownerTypes.find(known => known === found.type)
  if (type === undefined)
    throw cannot(
      `its column ${column} has the type ${found.type} instead of text, varchar, uuid, integer or bigint`,
    )
  if (found.isGenerated)
    throw cannot(`its column ${column} is generated, so it cannot have the caller's id as its default`)
  return { ...found, type }
}

/** Other policies that give the role rows, and restrictive ones that would come before ours. */
async function otherPolicies(db: AnyKysely, relation: string, role: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select polname as name from pg_catalog.pg_policy
    where polrelid = ${relation}::regclass and ${appliesTo(role)}
      and case when polpermissive then polname <> 'own_rows' else polname < 'own_rows_first' end`.execute(db)
  return rows.map(row => row.name)
}

/** The rewrite rules of a table (`create rule`). */
async function findRules(db: AnyKysely, relation: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select rulename as name from pg_catalog.pg_rewrite where ev_class = ${relation}::regclass order by 1`.execute(
    db,
  )
  return rows.map(row => row.name)
}

/** Functions that an insert calls for a default, a generated column or a check, and that the role may not execute. */
async function findClosedFunctions(
  db: AnyKysely,
  relation: string,
  role: string,
): Promise<{ user: string; name: string }[]> {
  const { rows } = await sql<{ user: string; name: string }>`
    select used.name as user, f.oid::regprocedure::text as name
    from (
      select 'pg_attrdef'::regclass as class, d.oid, 'column ' || a.attname as name
      from pg_catalog.pg_attrdef d join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
      where d.adrelid = ${relation}::regclass
      union all
      select 'pg_constraint'::regclass, oid, 'constraint ' || conname from pg_catalog.pg_constraint
      where conrelid = ${relation}::regclass and contype = 'c'
    ) used
    join pg_catalog.pg_depend p on p.classid = used.class and p.objid = used.oid and p.refclassid = 'pg_proc'::regclass
    join pg_catalog.pg_proc f on f.oid = p.refobjid and not has_function_privilege(${role}, f.oid, 'execute')
    order by 1, 2`.execute(db)
  return rows
}
