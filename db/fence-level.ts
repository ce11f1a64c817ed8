import { type Kysely, sql } from 'kysely'
import type { Database } from './schema.js'
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
 * read, another role taken. `signed` stands only where each of them fails.
 *
 * @param db the unscoped handle, on the login that serves
 * @param options.tables the protected tables
 */
export async function findFenceLevel(
  db: Kysely<Database>,
  { role, tables, timeout }: { role: string; tables: readonly string[]; timeout: number },
): Promise<FenceLevel> {
  const isSigned =
    (await refusesForgery(db, timeout, role)) &&
    (await holdsNoOtherRole(db, role)) &&
    (await isDenied(db, timeout, 'select from trpc_bearer.fence_key')) &&
    (await every(tables, table => isDenied(db, timeout, `select from ${table} limit 1`)))
  return isSigned ? 'signed' : 'plain'
}

async function every<T>(items: readonly T[], holds: (item: T) => Promise<boolean>): Promise<boolean> {
  for (const item of items) if (!(await holds(item))) return false
  return true
}

async function refusesForgery(db: Kysely<Database>, timeout: number, role: string): Promise<boolean> {
  try {
    await within(db, timeout, async trx => {
      await sql`
        select set_config('app.user_id', ${forged.id}, true), set_config('app.user_signature', ${forged.signature}, true),
          set_config('role', ${role}, true)`.execute(trx)
      await sql`select trpc_bearer.user_id()`.execute(trx)
    })
    return false
  } catch (error) {
    if (isNotBelieved(error)) return true
    throw error
  }
}

/** Neither superuser nor an owner, no right of its own but to enter, and no way to one. */
async function holdsNoOtherRole(db: Kysely<Database>, role: string): Promise<boolean> {
  const { rows } = await sql<{ powerless: boolean }>`
    select not rolsuper and not rolbypassrls and not rolcreaterole and not rolcreatedb and not rolreplication
      and not rolinherit
      and not exists (select from pg_auth_members m where m.member = r.oid and m.roleid::regrole <> ${role}::regrole)
      and not exists (
        select from pg_shdepend d
        where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid
          and d.dbid in (0, (select oid from pg_database where datname = current_database()))
          and (d.deptype = 'o' or d.classid not in ('pg_database'::regclass, 'pg_namespace'::regclass))) as powerless
    from pg_roles r where rolname = session_user`.execute(db)
  return rows[0]?.powerless ?? false
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
