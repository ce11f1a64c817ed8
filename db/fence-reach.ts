import { type Kysely, sql } from 'kysely'
import { type FenceGap, revoke } from './fence-gap.js'
import type { Database } from './schema.js'

/** What the role, or PUBLIC, has any privilege on. */
export interface Reached {
  name: string
  kind: 'table' | 'view' | 'other'
  isShared: boolean
  isForced: boolean
  isInvoker: boolean
  isReadable: boolean
  /** All that the role may do but select. */
  changes: string[]
  /** They run with the rights of the owner, whoever asks, on a view with `security_invoker` too. */
  rules: string[]
  /** Policies that let the role see or write more than its own rows. */
  strangePolicies: string[]
}

const ourPolicy = '(user_id = ( SELECT trpc_bearer.user_id() AS user_id))'

/** Everything that the role has a privilege on. In a schema that it may not use too: a view reads there without that right. */
export async function reachedBy(db: Kysely<Database>, role: string): Promise<Reached[]> {
  const { rows } = await sql<Reached>`
    select c.oid::regclass::text as name,
      case when c.relkind in ('r', 'p') then 'table' when c.relkind = 'v' then 'view' else 'other' end as kind,
      c.oid in (select trpc_bearer.shared_tables()) and not c.relforcerowsecurity as "isShared",
      c.relrowsecurity and c.relforcerowsecurity as "isForced",
      coalesce(c.reloptions && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false) as "isInvoker",
      has_schema_privilege(${role}, n.oid, 'usage') and has_any_column_privilege(${role}, c.oid, 'select') as "isReadable",
      array(
        select p from unnest(array['insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p
        where case when p in ('insert', 'update', 'references') then has_any_column_privilege(${role}, c.oid, p)
          else has_table_privilege(${role}, c.oid, p) end
      ) as changes,
      array(
        select quote_ident(w.rulename) from pg_catalog.pg_rewrite w where w.ev_class = c.oid and w.rulename <> '_RETURN'
      ) as rules,
      array(
        select quote_ident(p.polname) from pg_catalog.pg_policy p
        where p.polrelid = c.oid and p.polpermissive
          and (0 = any (p.polroles) or exists (select from unnest(p.polroles) r where pg_has_role(${role}, r, 'usage')))
          and not (coalesce(pg_get_expr(p.polqual, c.oid), ${ourPolicy}) = ${ourPolicy}
            and coalesce(pg_get_expr(p.polwithcheck, c.oid), ${ourPolicy}) = ${ourPolicy})
      ) as "strangePolicies"
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
      and (n.nspname not in ('pg_catalog', 'information_schema')
        or exists (select from aclexplode(c.relacl) a where a.grantee = ${role}::regrole))
      and n.nspname !~ '^pg_(toast|temp)'
      and (has_table_privilege(${role}, c.oid, 'select, insert, update, delete, truncate, references, trigger')
        or has_any_column_privilege(${role}, c.oid, 'select, insert, update, references'))
      and not exists (
        select from pg_catalog.pg_depend d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    order by 1`.execute(db)
  return rows
}

/** Policies do not bind these. */
const unbound = new Set(['truncate', 'references', 'trigger'])

/** What is wrong with it by what the catalogue says; null when nothing is. */
export function gapOf(
  { name, kind, isShared, isForced, isInvoker, changes, rules, strangePolicies }: Reached,
  role: string,
): FenceGap | null {
  const gap = (problem: string, mend: string) => ({ object: name, problem, mend })
  const [rule] = rules
  if (rule !== undefined)
    return gap(`its rule ${rule} runs with the rights of its owner`, `drop rule ${rule} on ${name};`)
  if (isShared) {
    return changes.length === 0
      ? null
      : gap('it is shared, and the role may change it for everybody', revoke(changes.join(', '), name, role))
  }
  if (kind === 'view') {
    return isInvoker
      ? null
      : gap('a view of which the role sees every row', `alter view ${name} set (security_invoker = true);`)
  }
  if (kind === 'other')
    return gap('the role can reach it, and no policy can bind it', revoke('all', name, role))
  if (!isForced) {
    return gap(
      'the role can reach it, and no policy binds it (call protectTable or shareTable in a migration)',
      revoke('all', name, role),
    )
  }
  const beyond = changes.filter(change => unbound.has(change)).join(', ')
  if (beyond !== '')
    return gap(`the role has ${beyond} on it, which no policy binds`, revoke(beyond, name, role))
  const [strange] = strangePolicies
  return strange === undefined
    ? null
    : gap(`its policy ${strange} opens more than own rows`, `drop policy ${strange} on ${name};`)
}
