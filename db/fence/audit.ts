import { type Kysely, sql } from 'kysely'
import pg from 'pg'
import { causesOf } from '../../shared/error-handling.js'
import { isNotBelieved } from '../errors.js'
import type { Database } from '../schema.js'
import { brokenTableRules } from '../tables/rules.js'
import { gapsOfCatalogue } from './checks/catalogue.js'
import { gapsOf, reachedBy } from './checks/relations.js'
import { gapsOfAnotherRole, gapsOfRole, gapsOfSchemas, gapsOfShared } from './checks/role.js'
import { type FenceGap, revoke } from './gap.js'
import { type FenceLevel, findFenceLevel, within } from './level.js'

/** What a proof found. */
export interface FenceReport {
  level: FenceLevel
  gaps: FenceGap[]
  /** What keeps the level from being `signed`; nothing where it is, or where gaps come first. */
  obstacles?: FenceGap[]
  /** What will be a gap after the next change of the secret, in one line. */
  warning?: string
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
 * Proves that the fence stands, by trying and by looking at everything that the application role can reach: the role has no power
 * that policies do not bind, and cannot become one who reaches more; each table or view on which it, PUBLIC or one that it inherits
 * from has any privilege is under our forced policy, was shared with `shareTable`, or is a view with `security_invoker`; callers may
 * use the tables that they need; and somebody who owns no row sees none. What belongs to an extension, what PostgreSQL lets
 * everybody read, and what the role cannot touch, does not count.
 *
 * @returns the level, and the gaps; none when it stands
 */
export async function proveFence(options: FenceOptions): Promise<FenceReport> {
  const report = await look(options).catch(error => {
    if (!(error instanceof pg.DatabaseError)) throw error
  })
  if (report?.gaps.length === 0) return report
  // A migration that is committed meanwhile is seen in part: what is at fault is still so the next time.
  const again = await look(options)
  const gaps = again.gaps.filter(gap => report === undefined || report.gaps.some(isSame(gap)))
  return { ...again, gaps }
}

const isSame = (one: FenceGap) => (other: FenceGap) =>
  one.object === other.object && one.problem === other.problem

async function look({ db, forNobody, role, timeout, required }: FenceOptions): Promise<FenceReport> {
  const anotherRole = await gapsOfAnotherRole(db, role)
  // Nothing can be asked as that one.
  if (anotherRole.length > 0) return { level: 'plain', gaps: anotherRole }
  const { gaps, tables } = await within(db, timeout, trx => inspect(trx, role))
  if (!(await isBelieved(forNobody))) return { level: 'plain', gaps: [...gaps, identityNotBelieved] }
  for (const name of tables) {
    const { rows } = await sql<{
      seen: boolean
    }>`select exists (select from ${sql.raw(name)}) as seen`.execute(forNobody)
    if (rows[0]?.seen)
      gaps.push({
        object: name,
        problem: 'somebody who owns no row sees one',
        fix: revoke('all', name, ['public', role]),
      })
  }
  const { level, obstacles } = await findFenceLevel(db, { role, tables, timeout })
  if (required === 'signed') gaps.push(...obstacles)
  return {
    level,
    gaps,
    ...(level === 'plain' && { obstacles }),
    ...((await isSignedPreviously(forNobody)) && { warning: previousSecret }),
  }
}

async function isBelieved(forNobody: Kysely<Database>): Promise<boolean> {
  try {
    const { rows } = await sql<{ isBelieved: boolean | null }>`
      select trpc_bearer.user_id() = current_setting('app.user_id') as "isBelieved"`.execute(forNobody)
    return rows[0]?.isBelieved ?? false
  } catch (error) {
    if (causesOf(error).some(isNotBelieved)) return false
    throw error
  }
}

/** By the secret before the last change. The function is there once a migration has set the level up. */
async function isSignedPreviously(forNobody: Kysely<Database>): Promise<boolean> {
  const { rows: found } = await sql<{ isThere: boolean }>`
    select to_regprocedure('trpc_bearer.is_signed_currently()') is not null as "isThere"`.execute(forNobody)
  if (!found[0]?.isThere) return false
  const { rows } = await sql<{ isCurrent: boolean | null }>`
    select trpc_bearer.is_signed_currently() as "isCurrent"`.execute(forNobody)
  return rows[0]?.isCurrent === false
}

const previousSecret =
  'FENCE_SECRET is the one before the last change, and good until the next: give this server the new one.'

const identityNotBelieved: FenceGap = {
  object: 'the identity',
  problem:
    'the database does not believe it: FENCE_SECRET is missing, or another than the migration was given',
  fix: '-- give this server the secret that the migration was given (to migrate with another one changes it for all)',
}

/** What is wrong by what the catalogue says, and the protected tables that are left to try, with their schemas. */
async function inspect(db: Kysely<Database>, role: string): Promise<{ gaps: FenceGap[]; tables: string[] }> {
  const gaps = await gapsOfRole(db, role)
  // The rest would follow from it.
  if (gaps.length > 0) return { gaps, tables: [] }
  // The second where the login may not use their schema.
  const { rows } = await sql<{ tasks: number | null }>`
    select coalesce(to_regclass('tasks'), (
      select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.nspname = 'trpc_bearer'
      where c.relname = 'tasks' and c.relkind = 'r' and c.relowner = n.nspowner order by c.oid limit 1
    ))::oid as tasks`.execute(db)
  // Names and policies are read with their schemas then, whatever settings the login has, or who fixes it.
  await sql`
    select set_config('search_path', '', true), set_config('quote_all_identifiers', 'off', true),
      set_config('row_security', 'on', true)`.execute(db)
  for (const gapsOf of [gapsOfSchemas, gapsOfShared, gapsOfCatalogue]) gaps.push(...(await gapsOf(db, role)))
  const tables: string[] = []
  for (const reached of await reachedBy(db, { role, tasks: rows[0]?.tasks ?? null })) {
    const { oid, name, kind, isShared, isOpen, rights, lenders } = reached
    const found = gapsOf(reached, role)
    gaps.push(...found)
    if (found.length > 0 || kind !== 'table' || isShared) continue
    if (isOpen && rights.includes('select')) tables.push(name)
    for (const { problem, fix } of await brokenTableRules(db, oid))
      gaps.push({ object: name, problem, fix: fix ?? revoke('all', name, lenders) })
  }
  return { gaps, tables }
}
