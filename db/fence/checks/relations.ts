import { type Kysely, sql } from 'kysely'
import type { Database } from '../../schema.js'
import { appliesTo, policyStatements, printedPolicies } from '../../tables/policies.js'
import { belongsToExtension, type FenceGap, granteesUsableBy, revoke } from '../gap.js'

/** A relation on which the role has any privilege: its own, from PUBLIC or inherited. Or a table that callers need. */
export interface ReachableRelation {
  /** PostgreSQL does not resolve a name in a schema that the login may not use, so checks use the oid. */
  oid: string
  name: string
  schema: string
  kind: 'table' | 'view' | 'other'
  /** The table of tasks, or a table with a policy that has the name or the conditions of `own_rows`. */
  isProtected: boolean
  isTasks: boolean
  isShared: boolean
  isForced: boolean
  isInvoker: boolean
  /** The role may use the schema. */
  isOpen: boolean
  rights: string[]
  /** The fix revokes from these. */
  grantees: string[]
  /** Rewrite rules. They run with the rights of the owner, even on a view with `security_invoker`. */
  rules: string[]
  /** The policy of `protectTable` gives callers access to their rows; on the tasks for every command. */
  hasOwnPolicy: boolean
  /** Policies that allow more than the own rows. */
  loosePolicies: string[]
}

/**
 * Finds every relation on which the role has a privilege, except PostgreSQL's own. A schema that the role may not use counts too,
 * because a view can read from it.
 *
 * @param db its search path must be empty, so that names and policies are printed with their schema
 * @param options.tasks oid of the table of tasks
 */
export async function findReachableRelations(
  db: Kysely<Database>,
  { role, tasks }: { role: string; tasks: number | null },
): Promise<ReachableRelation[]> {
  const { rows } = await sql<ReachableRelation>`
    select c.oid::text as oid, c.oid::regclass::text as name, quote_ident(n.nspname) as schema,
      case when c.relkind in ('r', 'p') then 'table' when c.relkind = 'v' then 'view' else 'other' end as kind,
      c.oid is not distinct from ${tasks}::oid or coalesce(p.is_bound or p.is_named, false) as "isProtected",
      c.oid is not distinct from ${tasks}::oid as "isTasks",
      c.relkind in ('r', 'p') and c.oid in (select trpc_bearer.shared_tables()) and not c.relforcerowsecurity
        and p.is_bound is not true as "isShared",
      c.relrowsecurity and c.relforcerowsecurity as "isForced",
      coalesce((
        select option_value::boolean from pg_options_to_table(c.reloptions) where option_name = 'security_invoker'
      ), false) as "isInvoker",
      has_schema_privilege(${role}, n.oid, 'usage') as "isOpen",
      array(
        select r from unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) r
        where case when r in ('select', 'insert', 'update', 'references') then has_any_column_privilege(${role}, c.oid, r)
          else has_table_privilege(${role}, c.oid, r) end
      ) as rights,
      ${granteesUsableBy(
        sql`select (aclexplode(coalesce(c.relacl, acldefault('r', c.relowner)))).grantee
        union all select (aclexplode(a.attacl)).grantee from pg_catalog.pg_attribute a where a.attrelid = c.oid`,
        role,
      )} as grantees,
      array(
        select quote_ident(w.rulename) from pg_catalog.pg_rewrite w where w.ev_class = c.oid and w.rulename <> '_RETURN'
      ) as rules,
      coalesce(case when c.oid = ${tasks}::oid then p.is_whole else p.is_bound end, false) as "hasOwnPolicy",
      coalesce(p.loose, '{}') as "loosePolicies"
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join (
      select polrelid, bool_or(polname = 'own_rows') as is_named, bool_or(is_bound and (is_read or is_write)) as is_bound,
        bool_or(is_bound and is_read and is_write is not false and polcmd = '*')
          or count(distinct polcmd) filter (where is_bound and (is_read or is_write) and polcmd <> '*') = 4 as is_whole,
        array_agg(quote_ident(polname)) filter (where is_bound and (not is_read or not is_write)) as loose
      from (
        select *, polpermissive and ${appliesTo(role)} as is_bound,
          pg_get_expr(polqual, polrelid) = ${printedPolicies.ownRows.using} as is_read,
          pg_get_expr(polwithcheck, polrelid) = ${printedPolicies.ownRows.check} as is_write
        from pg_catalog.pg_policy
      ) policy
      group by polrelid
    ) p on p.polrelid = c.oid
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
      and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
      and (has_table_privilege(${role}, c.oid, 'select, insert, update, delete, truncate, references, trigger')
        or has_any_column_privilege(${role}, c.oid, 'select, insert, update, references')
        or p.is_bound or c.oid = ${tasks}::oid)
      and not ${belongsToExtension}
    order by 1`.execute(db)
  return rows
}

/** Finds the gaps of one relation. */
export function findRelationGaps(relation: ReachableRelation, role: string): FenceGap[] {
  const { name, kind, isProtected, isShared, isForced, isInvoker, rights, grantees, rules } = relation
  const gap = (problem: string, fix: string) => [{ object: name, problem, fix }]
  if (rules.length > 0) {
    const drops = rules.map(rule => `drop rule ${rule} on ${name};`)
    return gap(`its rule ${rules.join(', ')} runs with the rights of the owner`, drops.join(' '))
  }
  if (isShared) {
    const changes = rights.filter(right => right !== 'select').join(', ')
    return changes === ''
      ? []
      : gap('it is shared, and the role may change it for all users', revoke(changes, name, grantees))
  }
  if (kind === 'view') {
    return isInvoker
      ? []
      : gap('it is a view that shows the role every row', `alter view ${name} set (security_invoker = true);`)
  }
  if (kind === 'other')
    return gap('the role can reach it, and no policy can protect it', revoke('all', name, grantees))
  if (!isForced && !isProtected) {
    return gap(
      'the role can reach it, and no policy protects it (call protectTable or shareTable in a migration)',
      revoke('all', name, grantees),
    )
  }
  return findProtectedTableGaps(relation, role)
}

/** Checks that everything `protectTable` sets up is still in place. */
function findProtectedTableGaps(relation: ReachableRelation, role: string): FenceGap[] {
  const { name, schema, isTasks, isProtected, isForced, isOpen, rights, hasOwnPolicy, loosePolicies } =
    relation
  const gaps: FenceGap[] = []
  const gap = (problem: string, fix: string) => gaps.push({ object: name, problem, fix })
  if (!isForced) {
    const fix = `alter table ${name} enable row level security, force row level security;`
    gap('its policy has no effect, because row-level security is not enabled and forced', fix)
  }
  const unprotected = rights.filter(right => withoutPolicy.has(right)).join(', ')
  if (unprotected !== '')
    gap(
      `the role has ${unprotected} on it, and no policy restricts that`,
      revoke(unprotected, name, relation.grantees),
    )
  const drops = loosePolicies.map(policy => `drop policy ${policy} on ${name};`)
  const restore =
    isProtected && !hasOwnPolicy
      ? [
          ...drops.filter(drop => drop !== `drop policy own_rows on ${name};`),
          ...policyStatements(name, role),
        ]
      : drops
  if (loosePolicies.length > 0)
    gap(`its policy ${loosePolicies.join(', ')} allows more than the own rows`, restore.join(' '))
  else if (restore.length > 0) gap('no policy gives callers access to their rows', restore.join(' '))
  const isMissingRights = isTasks ? needed.some(right => !rights.includes(right)) : rights.length === 0
  if (isProtected && isMissingRights)
    gap('callers need it, but the role may not use it', `grant ${needed.join(', ')} on ${name} to ${role};`)
  if (isTasks && !isOpen)
    gap('callers need it, but the role may not use its schema', `grant usage on schema ${schema} to ${role};`)
  return gaps
}

/** Privileges that policies do not restrict. */
const withoutPolicy = new Set(['truncate', 'references', 'trigger'])

const needed = ['select', 'insert', 'update', 'delete']
