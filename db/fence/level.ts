import { type Kysely, sql, type Transaction } from 'kysely'
import { isIdentityRejected } from '../errors.js'
import type { Database } from '../schema.js'
import { findTablesWithoutFirstPolicy, policyStatements } from '../tables/policies.js'
import { findLoginPrivileges } from './checks/login.js'
import { type FenceGap, revoke, theLevel } from './gap.js'

/**
 * Strength of the isolation. `plain`: policies compare a setting, as in PostgREST and Supabase, and injected SQL can change it.
 * `signed`: injected SQL cannot become another user.
 */
export type FenceLevel = 'plain' | 'signed'

const forged = { id: 'trpc-bearer-forged', signature: '0'.repeat(64) }
const deniedCodes = new Set(['42501', '42P01', '3F000'])

/**
 * Finds what keeps the level from being `signed`: what the catalogue shows and, for a complete audit, by trying what injected SQL would
 * try: forge an identity, read the secret, take another role.
 *
 * @param db the unscoped handle of the serving login
 * @param options.tables the protected tables that the role can read by name
 * @param options.protectedTables all protected tables: a view can read one in a schema that the role may not use
 * @returns the obstacles; none: the level is `signed`
 */
export async function findObstacles(
  db: Kysely<Database>,
  {
    role,
    tables,
    protectedTables,
    timeout,
    isComplete,
  }: {
    role: string
    tables: readonly string[]
    protectedTables: readonly string[]
    timeout: number
    isComplete: boolean
  },
): Promise<FenceGap[]> {
  const causes = await findLoginPrivileges(db, role)
  const closedTables = [...tables, 'trpc_bearer.fence_key']
  const found = await withStatementTimeout(db, timeout, async trx => {
    await printFullNames(trx)
    return {
      signed: await findSignedFunctions(trx),
      open: await findTablesOpenToPublic(trx, closedTables),
      notFirst: await findTablesWithoutFirstPolicy(trx, protectedTables, role),
    }
  })
  const { checksIdentity, putsPoliciesFirst } = found.signed
  if (!checksIdentity || (isComplete && !(await rejectsForgery(db, timeout, role))))
    causes.push(forgeryAccepted)
  else if (!putsPoliciesFirst || (isComplete && !(await appliesPoliciesFirst(db, timeout))))
    causes.push(policiesLast)
  for (const name of found.open)
    causes.push({ problem: `everybody may read ${name}`, fix: revoke('all', name, ['public']) })
  for (const { name, earlier, owner } of found.notFirst) {
    const renames = earlier.map(
      policy => `alter policy ${policy} on ${name} rename to ${afterFirst(policy)};`,
    )
    causes.push({
      problem: `the policy own_rows_first of ${name} is missing or not the first restrictive one by name, so an injected condition can run on rows of other users`,
      fix: (renames.length > 0 ? renames : policyStatements(name, role, owner)).join(' '),
    })
  }
  // Catches causes that the checks above do not know.
  if (isComplete && causes.length === 0) {
    for (const name of closedTables) {
      if (await isPermissionDenied(db, timeout, `select from ${name} limit 1`)) continue
      causes.push({ problem: `the login may read ${name}`, fix: '-- revoke the grant that allows it' })
    }
  }
  return causes.map(({ problem, fix }) => ({
    object: theLevel,
    problem: `it is plain, not signed: ${problem}`,
    fix,
  }))
}

/**
 * Reads whether the functions of the level `signed` are in place. Those of the level `plain` have the same names, and come back with a
 * backup from before.
 */
async function findSignedFunctions(
  db: Kysely<Database>,
): Promise<{ checksIdentity: boolean; putsPoliciesFirst: boolean }> {
  const { rows } = await sql<{ name: string }>`
    select proname::text as name from pg_catalog.pg_proc
    where pronamespace = to_regnamespace('trpc_bearer') and case
      when proname in ('user_id', 'owner_id') then strpos(prosrc, 'trpc_bearer.fence_key') > 0 and strpos(prosrc, 'refuse_identity') > 0
      when proname = 'policies_first' then strpos(prosrc, 'cpu_operator_cost') > 0
      else proname = 'is_signed_currently' end`.execute(db)
  const has = (...names: string[]) => names.every(name => rows.some(row => row.name === name))
  return {
    checksIdentity: has('user_id', 'owner_id', 'is_signed_currently'),
    putsPoliciesFirst: has('policies_first'),
  }
}

const forgeryAccepted = {
  problem: 'an identity without a signature is accepted, because the database has no secret',
  fix: '-- run npx trpc-bearer migrate with FENCE_SECRET',
}

const policiesLast = {
  problem: 'an injected condition can run on rows of other users before the policy does',
  fix: '-- run npx trpc-bearer migrate with FENCE_SECRET',
}

function appliesPoliciesFirst(db: Kysely<Database>, timeout: number): Promise<boolean> {
  return rejectsIdentity(db, timeout, async trx => {
    await sql`select set_config('cpu_operator_cost', '0.0025', true)`.execute(trx)
    await sql`select trpc_bearer.policies_first()`.execute(trx)
  })
}

/** A name that sorts after `own_rows_first`. */
const afterFirst = (policy: string) => `"p_${policy.replace(/^"|"$/g, '')}"`

/** Makes PostgreSQL print names and policies with their schemas until the transaction ends, whatever the settings of the login are. */
export async function printFullNames(trx: Kysely<Database>): Promise<void> {
  await sql`
    select set_config('search_path', '', true), set_config('quote_all_identifiers', 'off', true),
      set_config('row_security', 'on', true)`.execute(trx)
}

async function findTablesOpenToPublic(db: Kysely<Database>, tables: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select name from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace,
      format('%I.%I', nspname, relname) name
    where name = any (${tables}) and has_any_column_privilege('public', c.oid, 'select')`.execute(db)
  return rows.map(row => row.name)
}

async function rejectsForgery(db: Kysely<Database>, timeout: number, role: string): Promise<boolean> {
  const { id, signature } = forged
  for (const identity of [sql`trpc_bearer.user_id()`, sql`trpc_bearer.owner_id('forged')`]) {
    const isRejected = await rejectsIdentity(db, timeout, async trx => {
      await sql`
        select set_config('app.user_id', ${id}, true), set_config('app.user_signature', ${signature}, true),
          set_config('app.owner_forged', ${id}, true), set_config('app.owner_forged_signature', ${signature}, true),
          set_config('role', ${role}, true)`.execute(trx)
      await sql`select ${identity}`.execute(trx)
    })
    if (!isRejected) return false
  }
  return true
}

/** True if the database rejects the identity during the attempt. */
async function rejectsIdentity(
  db: Kysely<Database>,
  timeout: number,
  attempt: (trx: Kysely<Database>) => Promise<void>,
): Promise<boolean> {
  try {
    await withStatementTimeout(db, timeout, attempt)
    return false
  } catch (error) {
    if (isIdentityRejected(error)) return true
    throw error
  }
}

async function isPermissionDenied(
  db: Kysely<Database>,
  timeout: number,
  statement: string,
): Promise<boolean> {
  try {
    await withStatementTimeout(db, timeout, trx => sql.raw(statement).execute(trx))
    return false
  } catch (error) {
    if (error instanceof Error && 'code' in error && deniedCodes.has(String(error.code))) return true
    throw error
  }
}

/** Runs a function in a transaction whose statements have a timeout, in milliseconds. */
export function withStatementTimeout<T, Tables>(
  db: Kysely<Tables>,
  milliseconds: number,
  run: (trx: Transaction<Tables>) => Promise<T>,
): Promise<T> {
  return db.transaction().execute(async trx => {
    await sql`select set_config('statement_timeout', ${String(milliseconds)}, true)`.execute(trx)
    return run(trx)
  })
}
