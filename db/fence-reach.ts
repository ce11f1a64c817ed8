import { type Kysely, sql } from 'kysely'
import { type FenceGap, isOfExtension, lenders, revoke } from './fence-gap.js'
import type { Database } from './schema.js'
import { policyStatements, printedOwnRows } from './table-rules.js'

/** What the role has any privilege on, by itself, from PUBLIC or from whom it inherits; and the tables that callers need. */
export interface Reached {
  /** Its oid: a name is not found in a schema that the login may not use. */
  oid: string
  name: string
  schema: string
  kind: 'table' | 'view' | 'other'
  /** The tasks, or under a policy named or made as `protectTable` does it. */
  isProtected: boolean
  isTasks: boolean
  isShared: boolean
  isForced: boolean
  isInvoker: boolean
  /** The role may use its schema. */
  isOpen: boolean
  /** What the role may do. */
  rights: string[]
  /** From whom the rights are to be revoked. */
  lenders: string[]
  /** They run with the rights of the owner, whoever asks, on a view with `security_invoker` too. */
  rules: string[]
  /** A policy as `protectTable` makes it lets callers at their rows: on the tasks for all that they do. */
  hasOwnPolicy: boolean
  /** Policies that let the role see or write more than its own rows. */
  strangePolicies: string[]
}

/**
 * Everything that the role has a privilege on, but for PostgreSQL's own. In a schema that it may not use too: a view reads there
 * without that right.
 *
 * @param db with an empty search path, so that names and policies are whole
 * @param options.tasks oid of the tasks
 */
export async function reachedBy(
  db: Kysely<Database>,
  { role, tasks }: { role: string; tasks: number | null },
): Promise<Reached[]> {
  const { rows } = await sql<Reached>`
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
      ${lenders(
        sql`select (aclexplode(coalesce(c.relacl, acldefault('r', c.relowner)))).grantee
        union all select (aclexplode(a.attacl)).grantee from pg_catalog.pg_attribute a where a.attrelid = c.oid`,
        role,
      )} as lenders,
      array(
        select quote_ident(w.rulename) from pg_catalog.pg_rewrite w where w.ev_class = c.oid and w.rulename <> '_RETURN'
      ) as rules,
      coalesce(case when c.oid = ${tasks}::oid then p.is_whole else p.is_bound end, false) as "hasOwnPolicy",
      coalesce(p.strange, '{}') as "strangePolicies"
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join (
      select polrelid, bool_or(polname = 'own_rows') as is_named, bool_or(is_bound and (is_read or is_write)) as is_bound,
        bool_or(is_bound and is_read and is_write is not false and polcmd = '*')
          or count(distinct polcmd) filter (where is_bound and (is_read or is_write) and polcmd <> '*') = 4 as is_whole,
        array_agg(quote_ident(polname)) filter (where is_bound and (not is_read or not is_write)) as strange
      from (
        select *, polpermissive and (0 = any (polroles)
            or exists (select from unnest(polroles) r where pg_has_role(${role}, r, 'usage'))) as is_bound,
          pg_get_expr(polqual, polrelid) = ${printedOwnRows.using} as is_read,
          pg_get_expr(polwithcheck, polrelid) = ${printedOwnRows.check} as is_write
        from pg_catalog.pg_policy
      ) policy
      group by polrelid
    ) p on p.polrelid = c.oid
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
      and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
      and (has_table_privilege(${role}, c.oid, 'select, insert, update, delete, truncate, references, trigger')
        or has_any_column_privilege(${role}, c.oid, 'select, insert, update, references')
        or p.is_bound or c.oid = ${tasks}::oid)
      and not ${isOfExtension}
    order by 1`.execute(db)
  return rows
}

/** What is wrong with it by what the catalogue says. */
export function gapsOf(reached: Reached, role: string): FenceGap[] {
  const { name, kind, isProtected, isShared, isForced, isInvoker, rights, lenders, rules } = reached
  const gap = (problem: string, mend: string) => [{ object: name, problem, mend }]
  if (rules.length > 0) {
    const drops = rules.map(rule => `drop rule ${rule} on ${name};`)
    return gap(`its rule ${rules.join(', ')} runs with the rights of its owner`, drops.join(' '))
  }
  if (isShared) {
    const changes = rights.filter(right => right !== 'select').join(', ')
    return changes === ''
      ? []
      : gap('it is shared, and the role may change it for everybody', revoke(changes, name, lenders))
  }
  if (kind === 'view') {
    return isInvoker
      ? []
      : gap('a view of which the role sees every row', `alter view ${name} set (security_invoker = true);`)
  }
  if (kind === 'other')
    return gap('the role can reach it, and no policy can bind it', revoke('all', name, lenders))
  if (!isForced && !isProtected) {
    return gap(
      'the role can reach it, and no policy binds it (call protectTable or shareTable in a migration)',
      revoke('all', name, lenders),
    )
  }
  return gapsOfProtected(reached, role)
}

/** What `protectTable` sets up, and each way in which it may have been undone. */
function gapsOfProtected(reached: Reached, role: string): FenceGap[] {
  const { name, schema, isTasks, isProtected, isForced, isOpen, rights, hasOwnPolicy, strangePolicies } =
    reached
  const gaps: FenceGap[] = []
  const gap = (problem: string, mend: string) => gaps.push({ object: name, problem, mend })
  if (!isForced) {
    const mend = `alter table ${name} enable row level security, force row level security;`
    gap('its policy binds nobody, as row-level security is not enabled and forced', mend)
  }
  const beyond = rights.filter(right => unbound.has(right)).join(', ')
  if (beyond !== '')
    gap(`the role has ${beyond} on it, which no policy binds`, revoke(beyond, name, reached.lenders))
  const drops = strangePolicies.map(policy => `drop policy ${policy} on ${name};`)
  const restored =
    isProtected && !hasOwnPolicy
      ? [
          ...drops.filter(drop => drop !== `drop policy own_rows on ${name};`),
          ...policyStatements(name, role),
        ]
      : drops
  if (strangePolicies.length > 0)
    gap(`its policy ${strangePolicies.join(', ')} opens more than own rows`, restored.join(' '))
  else if (restored.length > 0) gap('no policy lets callers at their rows', restored.join(' '))
  const lacks = isTasks ? needed.some(right => !rights.includes(right)) : rights.length === 0
  if (isProtected && lacks)
    gap('callers need it, and the role may not use it', `grant ${needed.join(', ')} on ${name} to ${role};`)
  if (isTasks && !isOpen)
    gap(
      'callers need it, and the role may not enter its schema',
      `grant usage on schema ${schema} to ${role};`,
    )
  return gaps
}

/** Policies do not bind these. */
const unbound = new Set(['truncate', 'references', 'trigger'])

const needed = ['select', 'insert', 'update', 'delete']
