import { type Kysely, sql } from 'kysely'
import { type FenceGap, revoke } from './fence-gap.js'
import { powersOfLogin } from './fence-login.js'
import type { Database } from './schema.js'
import { policyStatements, tablesWithoutFirstPolicy, tellingIndexes } from './table-rules.js'
import { isNotBelieved } from './unavailable.js'
import { within } from './within.js'

/**
 * How far the fence goes. `plain`: policies on a setting, as PostgREST and Supabase have them, which SQL that somebody injects can
 * change. `signed`: it cannot.
 */
export type FenceLevel = 'plain' | 'signed'

const forged = { id: 'trpc-bearer-forged', signature: '0'.repeat(64) }
const denied = new Set(['42501', '42P01', '3F000'])

/**
 * Finds the level by trying what an injection would: a forged identity, the role switched back to the login's own, the secret
 * read, another role taken; and by the indexes that would tell it of others' rows. `signed` stands only where each of them fails.
 *
 * @param db the unscoped handle, on the login that serves
 * @param options.tables the protected tables
 * @returns the level, and why it is not `signed`
 */
export async function findFenceLevel(
  db: Kysely<Database>,
  { role, tables, timeout }: { role: string; tables: readonly string[]; timeout: number },
): Promise<{ level: FenceLevel; obstacles: FenceGap[] }> {
  const causes = await powersOfLogin(db, role)
  if (!(await refusesForgery(db, timeout, role))) causes.push(forgeryBelieved)
  else if (!(await putsPoliciesFirst(db, timeout))) causes.push(policiesLast)
  const closed = [...tables, 'trpc_bearer.fence_key']
  for (const name of await openToPublic(db, closed))
    causes.push({ problem: `everybody may read ${name}`, mend: revoke('all', name, ['public']) })
  for (const name of await tellingIndexes(db, tables)) {
    causes.push({
      problem: `index ${name} does not start with user_id as the policy compares it, and tells of others' rows`,
      mend: `drop index ${name};`,
    })
  }
  for (const name of await within(db, timeout, trx => withoutFirstPolicy(trx, tables, role))) {
    causes.push({
      problem: `${name} lacks the policy own_rows_first, without which a condition that SQL injects may be tried on rows of others`,
      mend: policyStatements(name, role).join(' '),
    })
  }
  // Whatever else there may be.
  if (causes.length === 0) {
    for (const name of closed) {
      if (await isDenied(db, timeout, `select from ${name} limit 1`)) continue
      causes.push({ problem: `the login may read ${name}`, mend: '-- revoke what lets it' })
    }
  }
  const obstacles = causes.map(({ problem, mend }) => ({
    object: 'the level',
    problem: `it is plain, not signed: ${problem}`,
    mend,
  }))
  return { level: obstacles.length === 0 ? 'signed' : 'plain', obstacles }
}

const forgeryBelieved = {
  problem: 'an identity without a signature is believed, as the database has no secret',
  mend: '-- npm run migrate, with FENCE_SECRET',
}

const policiesLast = {
  problem: 'a condition that SQL injects may be tried on rows of others, before the policy',
  mend: '-- npm run migrate, with FENCE_SECRET',
}

function putsPoliciesFirst(db: Kysely<Database>, timeout: number): Promise<boolean> {
  return refuses(db, timeout, async trx => {
    await sql`select set_config('cpu_operator_cost', '0.0025', true)`.execute(trx)
    await sql`select trpc_bearer.policies_first()`.execute(trx)
  })
}

async function withoutFirstPolicy(
  trx: Kysely<Database>,
  tables: readonly string[],
  role: string,
): Promise<string[]> {
  await sql`
    select set_config('search_path', '', true), set_config('quote_all_identifiers', 'off', true)`.execute(trx)
  return tablesWithoutFirstPolicy(trx, tables, role)
}

async function openToPublic(db: Kysely<Database>, tables: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select name from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace,
      format('%I.%I', nspname, relname) name
    where name = any (${tables}) and has_any_column_privilege('public', c.oid, 'select')`.execute(db)
  return rows.map(row => row.name)
}

function refusesForgery(db: Kysely<Database>, timeout: number, role: string): Promise<boolean> {
  return refuses(db, timeout, async trx => {
    await sql`
      select set_config('app.user_id', ${forged.id}, true), set_config('app.user_signature', ${forged.signature}, true),
        set_config('role', ${role}, true)`.execute(trx)
    await sql`select trpc_bearer.user_id()`.execute(trx)
  })
}

/** True when the database does not believe what is tried. */
async function refuses(
  db: Kysely<Database>,
  timeout: number,
  attempt: (trx: Kysely<Database>) => Promise<void>,
): Promise<boolean> {
  try {
    await within(db, timeout, attempt)
    return false
  } catch (error) {
    if (isNotBelieved(error)) return true
    throw error
  }
}

async function isDenied(db: Kysely<Database>, timeout: number, statement: string): Promise<boolean> {
  try {
    await within(db, timeout, trx => sql.raw(statement).execute(trx))
    return false
  } catch (error) {
    if (error instanceof Error && 'code' in error && denied.has(String(error.code))) return true
    throw error
  }
}
