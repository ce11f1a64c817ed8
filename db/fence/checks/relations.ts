import { type Kysely, sql } from 'kysely'
import type { Database } from '../../schema.js'
import type { Owner } from '../../tables/owner.js'
import { appliesTo, policyStatements, protectedTables } from '../../tables/policies.js'
import { belongsToExtension, type FenceGap, granteesUsableBy, revoke } from '../gap.js'

/** A relation on which the role has any privilege: its own, from PUBLIC or inherited. Or a table that was given to `protectTable`. */
export interface ReachableRelation {
  /** PostgreSQL does not resolve a name in a schema that the login may not use, so checks use the oid. */
  oid: string
  name: string
  kind: 'table' | 'view' | 'other'
  /** What `protectTable` was called with; null if it was not called for this table. */
  owner: (Pick<Owner, 'column' | 'by'> & { type: Owner['type'] | null; name: string }) | null
  isShared: boolean
  /** A protected table that it is a partition of, or inherits from. */
  above: string | null
  /** A table below it, whose rows it shows, has row-level security of its own. */
  hidesBelow: boolean
  /** Row-level security is enabled. */
  isEnabled: boolean
  /** The role, or one that it inherits from, owns it: policies do not bind an owner. */
  isOwned: boolean
  isInvoker: boolean
  /** The role may use the schema. */
  isOpen: boolean
  rights: string[]
  /** The fix revokes from these. */
  grantees: string[]
  /** Rewrite rules. They run with the rights of the owner, even on a view with `security_invoker`. */
  rules: string[]
  /** Another session has locked it for itself, or waits to. PostgreSQL would wait to print its policies, so they are not known. */
  isLocked: boolean
  /** A policy applies to the role. */
  hasPolicy: boolean
  /** The policies of `protectTable` give callers access to their rows, for every command. */
  hasOwnPolicy: boolean
  /** Policies that allow more than the own rows. */
  loosePolicies: string[]
}

/**
 * Finds every relation on which the role has a privilege, except PostgreSQL's own. A schema that the role may not use counts too,
 * because a view can read from it.
 *
 * @param db its search path must be empty, so that names and policies are printed with their schema
 */
export async function findReachableRelations(
  db: Kysely<Database>,
  role: string,
): Promise<ReachableRelation[]> {
  const { rows } = await sql<ReachableRelation>`
    with locked as materialized (
      select relation from pg_catalog.pg_locks
      where locktype = 'relation' and mode = 'AccessExclusiveLock' and pid is distinct from pg_backend_pid()
        and database = (select oid from pg_catalog.pg_database where datname = current_database())
    )
    select c.oid::text as oid, c.oid::regclass::text as name, c.oid in (select relation from locked) as "isLocked",
      case when c.relkind in ('r', 'p') then 'table' when c.relkind = 'v' then 'view' else 'other' end as kind,
      case when own.oid is not null then json_build_object(
        'name', own.owner, 'column', quote_ident(own.owner), 'type', own.owner_type, 'by', own.owned_by) end as owner,
      c.relkind in ('r', 'p') and c.oid in (select trpc_bearer.shared_tables()) and own.oid is null as "isShared",
      (
        with recursive above as (
          select inhparent as oid from pg_catalog.pg_inherits where inhrelid = c.oid
          union
          select h.inhparent from above join pg_catalog.pg_inherits h on h.inhrelid = above.oid
        )
        select oid::regclass::text from above where oid in (select relation from trpc_bearer.protected_tables()) order by 1 limit 1
      ) as above,
      (
        with recursive below as (
          select inhrelid as oid from pg_catalog.pg_inherits where inhparent = c.oid
          union
          select h.inhrelid from below join pg_catalog.pg_inherits h on h.inhparent = below.oid
        )
        -- A protected table below it reports its parents itself.
        select coalesce(bool_or(b.relrowsecurity) and not bool_or(b.oid in (select relation from trpc_bearer.protected_tables())), false)
        from below join pg_catalog.pg_class b on b.oid = below.oid
      ) as "hidesBelow",
      c.relrowsecurity as "isEnabled",
      pg_has_role(${role}, c.relowner, 'usage') as "isOwned",
      coalesce((
        select option_value::boolean from pg_options_to_table(c.reloptions) where option_name = 'security_invoker'
      ), false) as "isInvoker",
      has_schema_privilege(${role}, n.oid, 'usage') as "isOpen",
      array(
        select r from unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']
          || case when current_setting('server_version_num')::int >= 170000 then array['maintain'] else '{}' end) r
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
      coalesce(p.is_bound, false) as "hasPolicy",
      coalesce(p.is_whole, false) as "hasOwnPolicy",
      coalesce(p.loose, '{}') as "loosePolicies"
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join ${protectedTables} own on own.oid = c.oid
    left join lateral (
      select bool_or(is_bound) as is_bound,
        bool_or(is_bound and is_read and is_write is not false and polcmd = '*')
          or count(distinct polcmd) filter (where is_bound and (is_read or is_write) and polcmd <> '*') = 4 as is_whole,
        array_agg(quote_ident(polname)) filter (where is_bound and (is_read is not true and polqual is not null or is_write is not true and polwithcheck is not null)) as loose
      from (
        select *, polpermissive and ${appliesTo(role)} as is_bound,
          case when c.oid not in (select relation from locked) then pg_get_expr(polqual, polrelid) = any (own.using_conditions) end as is_read,
          case when c.oid not in (select relation from locked) then pg_get_expr(polwithcheck, polrelid) = any (own.check_conditions) end as is_write
        from pg_catalog.pg_policy where polrelid = c.oid
      ) policy
    ) p on true
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
      and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
      and (has_table_privilege(${role}, c.oid, 'select, insert, update, delete, truncate, references, trigger')
        or has_any_column_privilege(${role}, c.oid, 'select, insert, update, references')
        -- The function above leaves out system columns.
        or exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum < 0 and a.attacl is not null)
        or own.oid is not null)
      and not ${belongsToExtension}
    order by 1`.execute(db)
  return rows
}

/**
 * Finds logins of the application that were granted a protected table and cannot use its rows, because no policy applies to them. Neither
 * its owner nor a role that bypasses policies needs one.
 *
 * @param db its search path must be empty, so that names are printed with their schema
 */
export async function findLoginsWithoutRows(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<FenceGap>`
    select c.oid::regclass::text as object,
      format('%I may %s it, but row-level security %s, because none of its policies applies', r.rolname,
        case when granted.writes then 'write' else 'read' end,
        case when granted.writes then 'shows it no rows and refuses its own' else 'shows it no rows' end) as problem,
      format('-- if it should %s every row: create policy %I on %s for %s to %I %s;', case when granted.writes then 'see and write' else 'see' end,
        'rows_for_' || r.rolname, c.oid::regclass, case when granted.writes then 'all' else 'select' end, r.rolname,
        case when granted.writes then 'using (true) with check (true)' else 'using (true)' end) as fix
    from ${protectedTables} own join pg_catalog.pg_class c on c.oid = own.oid,
      lateral (
        select a.grantee, bool_or(a.privilege_type <> 'SELECT') as writes from aclexplode(c.relacl) a
        where a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE') group by a.grantee
      ) granted
    join pg_catalog.pg_roles r on r.oid = granted.grantee
    where c.relrowsecurity and r.rolname <> ${role}
      and not r.rolsuper and not r.rolbypassrls and not pg_has_role(r.oid, c.relowner, 'usage')
      and not exists (
        select from pg_catalog.pg_policy p
        where p.polrelid = c.oid and p.polpermissive
          and (0 = any (p.polroles) or exists (select from unnest(p.polroles) bound where pg_has_role(r.oid, bound, 'usage')))
      )
    order by 1, 2`.execute(db)
  return rows
}

/** Finds the gaps of one relation. */
export function findRelationGaps(relation: ReachableRelation, role: string): FenceGap[] {
  const {
    name,
    kind,
    owner,
    isShared,
    isEnabled,
    isOwned,
    isInvoker,
    above,
    hidesBelow,
    hasPolicy,
    rights,
    grantees,
    rules,
  } = relation
  const gap = (problem: string, fix: string) => [{ object: name, problem, fix }]
  if (isOwned) {
    const give = `alter ${kind === 'view' ? 'view' : 'table'} ${name} owner to current_user;`
    const fix =
      owner === null
        ? `-- choose: another owner, such as the login that runs this: ${give}`
        : `${give} grant ${needed.join(', ')} on ${name} to ${role};`
    return gap(`the role ${role} owns it, and policies do not restrict an owner`, fix)
  }
  if (rules.length > 0) {
    const drops = rules.map(rule => `drop rule ${rule} on ${name};`).join(' ')
    const fix = owner === null ? `${revoke('all', name, grantees)} -- or, to keep it: ${drops}` : drops
    return gap(`its rule ${rules.join(', ')} runs with the rights of the owner`, fix)
  }
  if (isShared && hidesBelow)
    return gap(
      'it is shared, and shows the rows of a table below it that has row-level security of its own',
      revoke('all', name, grantees),
    )
  if (isShared) {
    const changes = rights.filter(right => right !== 'select').join(', ')
    return changes === ''
      ? []
      : gap('it is shared, and the role may change it for all users', revoke(changes, name, grantees))
  }
  if (kind === 'view') {
    return isInvoker
      ? []
      : gap(
          'it is a view that shows the role every row',
          `${revoke('all', name, grantees)} -- or, to keep it: alter view ${name} set (security_invoker = true);`,
        )
  }
  if (kind === 'other')
    return gap('the role can reach it, and no policy can protect it', revoke('all', name, grantees))
  if (owner !== null) return findProtectedTableGaps(relation, owner, role)
  const isClosed = isEnabled && !hasPolicy && !rights.some(right => withoutPolicy.has(right))
  if (isClosed) return []
  if (above !== null)
    return gap(
      `the role can reach it directly, without the policy of ${above}, whose rows it holds`,
      revoke('all', name, grantees),
    )
  return gap(
    'the role can reach it, and it was never given to protectTable or shareTable',
    `${revoke('all', name, grantees)} -- or call protectTable or shareTable for it in a migration`,
  )
}

/** Checks that everything `protectTable` sets up is still in place. */
function findProtectedTableGaps(
  { name, isEnabled, rights, grantees, hasOwnPolicy, loosePolicies }: ReachableRelation,
  { type, ...owner }: NonNullable<ReachableRelation['owner']>,
  role: string,
): FenceGap[] {
  const gaps: FenceGap[] = []
  const gap = (problem: string, fix: string) => gaps.push({ object: name, problem, fix })
  if (type === null) {
    gap(
      `its owner column ${owner.column} is missing, or has a type that cannot be an owner`,
      '-- call protectTable again, with the name of the column that it has now',
    )
    return gaps
  }
  if (!isEnabled)
    gap(
      'its policy has no effect, because row-level security is not enabled',
      `alter table ${name} enable row level security;`,
    )
  const unprotected = rights.filter(right => withoutPolicy.has(right)).join(', ')
  if (unprotected !== '')
    gap(
      `the role has ${unprotected} on it, and no policy restricts that`,
      revoke(unprotected, name, grantees),
    )
  const drops = loosePolicies.map(policy => `drop policy ${policy} on ${name};`)
  const restore = hasOwnPolicy
    ? drops
    : [
        ...drops.filter(drop => drop !== `drop policy own_rows on ${name};`),
        ...policyStatements(name, role, { ...owner, type }),
      ]
  if (loosePolicies.length > 0)
    gap(`its policy ${loosePolicies.join(', ')} allows more than the own rows`, restore.join(' '))
  else if (restore.length > 0) gap('no policy gives callers access to their rows', restore.join(' '))
  if (rights.length === 0)
    gap('callers need it, but the role may not use it', `grant ${needed.join(', ')} on ${name} to ${role};`)
  return gaps
}

/** Privileges that policies do not restrict. */
const withoutPolicy = new Set(['truncate', 'references', 'trigger', 'maintain'])

const needed = ['select', 'insert', 'update', 'delete']
