import { type Kysely, sql } from 'kysely'
import { type FenceLevel, findFenceLevel } from './fence-level.js'
import type { Database } from './schema.js'
import { brokenTableRules } from './table-rules.js'
import { within } from './within.js'

/** A gap in the fence: what is at fault, and the SQL that mends it. */
export interface FenceGap {
  /** The table, view or role. */
  object: string
  problem: string
  /** What an administrator runs. */
  mend: string
}

interface Reached {
  name: string
  kind: 'table' | 'view' | 'other'
  isShared: boolean
  isForced: boolean
  isInvoker: boolean
  /** Policies that let the role see or write more than its own rows. */
  strangePolicies: string[]
}

/** What a proof found. */
export interface FenceReport {
  level: FenceLevel
  gaps: FenceGap[]
}

/** Options of {@link proveFence}. */
export interface FenceOptions {
  db: Kysely<Database>
  /** A scoped handle of a user who owns no row. */
  forNobody: Kysely<Database>
  role: string
  /** Longest time a look may take, in milliseconds. */
  timeout: number
  /** A lower level is a gap. @default 'plain' */
  required?: FenceLevel | undefined
}

/**
 * Proves that the fence stands, by trying and by looking at everything that the application role can reach: the role is neither
 * superuser nor BYPASSRLS; each table or view on which it, or PUBLIC, has any privilege is under our forced policy, was shared
 * with `shareTable`, or is a view with `security_invoker`; and somebody who owns no row sees none. What belongs to an
 * extension, and what the role cannot touch, does not count.
 *
 * @returns the level, and the gaps; none when it stands
 */
export async function proveFence({
  db,
  forNobody,
  role,
  timeout,
  required,
}: FenceOptions): Promise<FenceReport> {
  const { gaps, tables } = await within(db, timeout, trx => inspect(trx, role))
  for (const name of tables) {
    const { rows } = await sql<{
      seen: boolean
    }>`select exists (select from ${sql.raw(name)}) as seen`.execute(forNobody)
    if (rows[0]?.seen)
      gaps.push({ object: name, problem: 'somebody who owns no row sees one', mend: revokeAll(name, role) })
  }
  const own = await sql<{ id: string | null }>`select trpc_bearer.user_id() as id`.execute(forNobody)
  if (own.rows[0]?.id === null) gaps.push(identityNotBelieved)
  const level = await findFenceLevel(db, { role, tables, timeout })
  if (required === 'signed' && level === 'plain') gaps.push(levelTooLow)
  return { level, gaps }
}

const identityNotBelieved: FenceGap = {
  object: 'the identity',
  problem:
    'the database does not believe it: FENCE_SECRET is missing, or another than the migration was given',
  mend: '-- npm run migrate, with the FENCE_SECRET of the server',
}

const levelTooLow: FenceGap = {
  object: 'the level',
  problem: 'it is plain, and DATABASE_FENCE says signed',
  mend: '-- npm run migrate, with MIGRATION_DATABASE_URL, a powerless login in DATABASE_URL, and FENCE_SECRET',
}

/** What is wrong by what the catalogue says, and the protected tables that are left to try. */
async function inspect(db: Kysely<Database>, role: string): Promise<{ gaps: FenceGap[]; tables: string[] }> {
  const gaps = await gapsOfRole(db, role)
  // The rest would follow from it.
  if (gaps.length > 0) return { gaps, tables: [] }
  const tables: string[] = []
  for (const reached of await reachedBy(db, role)) {
    const gap = gapOf(reached, role)
    if (gap !== null) gaps.push(gap)
    else if (reached.kind === 'table' && !reached.isShared) {
      tables.push(reached.name)
      const broken = await brokenTableRules(db, reached.name)
      gaps.push(
        ...broken.map(problem => ({ object: reached.name, problem, mend: revokeAll(reached.name, role) })),
      )
    }
  }
  return { gaps, tables }
}

const revokeAll = (name: string, role: string) => `revoke all on ${name} from public, ${role};`

async function gapsOfRole(db: Kysely<Database>, role: string): Promise<FenceGap[]> {
  const { rows } = await sql<{ name: string }>`
    select rolname as name from pg_catalog.pg_roles
    where (rolsuper or rolbypassrls) and pg_has_role(${role}, oid, 'member')
      and (rolname = ${role} or not (select rolsuper from pg_catalog.pg_roles where rolname = ${role}))`.execute(
    db,
  )
  return rows.map(({ name }) => ({
    object: `role ${role}`,
    problem: name === role ? 'policies do not bind it' : `it can become ${name}, whom policies do not bind`,
    mend: name === role ? `alter role ${role} nosuperuser nobypassrls;` : `revoke ${name} from ${role};`,
  }))
}

const ourPolicy = '(user_id = ( SELECT trpc_bearer.user_id() AS user_id))'

async function reachedBy(db: Kysely<Database>, role: string): Promise<Reached[]> {
  const { rows } = await sql<Reached>`
    select c.oid::regclass::text as name,
      case when c.relkind in ('r', 'p') then 'table' when c.relkind = 'v' then 'view' else 'other' end as kind,
      exists (select from trpc_bearer.shared_tables() s where s = c.oid) as "isShared",
      c.relrowsecurity and c.relforcerowsecurity as "isForced",
      coalesce(c.reloptions && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false) as "isInvoker",
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
      and has_schema_privilege(${role}, n.oid, 'usage')
      and (has_table_privilege(${role}, c.oid, 'select, insert, update, delete, truncate, references, trigger')
        or has_any_column_privilege(${role}, c.oid, 'select, insert, update, references'))
      and not exists (
        select from pg_catalog.pg_depend d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    order by 1`.execute(db)
  return rows
}

function gapOf(
  { name, kind, isShared, isForced, isInvoker, strangePolicies }: Reached,
  role: string,
): FenceGap | null {
  if (isShared) return null
  if (kind === 'view') {
    const problem = 'a view of which the role sees every row'
    return isInvoker
      ? null
      : { object: name, problem, mend: `alter view ${name} set (security_invoker = true);` }
  }
  if (kind === 'other') {
    return {
      object: name,
      problem: 'the role can reach it, and no policy can bind it',
      mend: revokeAll(name, role),
    }
  }
  if (!isForced) {
    const problem =
      'the role can reach it, and no policy binds it (call protectTable or shareTable in a migration)'
    return { object: name, problem, mend: revokeAll(name, role) }
  }
  const [strange] = strangePolicies
  if (strange === undefined) return null
  return {
    object: name,
    problem: `its policy ${strange} opens more than own rows`,
    mend: `drop policy ${strange} on ${name};`,
  }
}
