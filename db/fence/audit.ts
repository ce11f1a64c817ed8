import { type Kysely, sql } from 'kysely'
import pg from 'pg'
import { causesOf } from '../../shared/error-handling.js'
import { isIdentityRejected } from '../errors.js'
import type { Database } from '../schema.js'
import { findBrokenRules, findLeakyIndexes, findRevealingKeys } from '../tables/rules.js'
import { findCatalogueGaps } from './checks/catalogue.js'
import { findOwnersFunctions } from './checks/functions.js'
import { findLoginsWithoutRows, findReachableRelations, findRelationGaps } from './checks/relations.js'
import { findRoleGaps, findRoleMismatch, findSchemaGaps, findSharedStateGaps } from './checks/role.js'
import { type FenceGap, isSameGap, revoke, theLevel } from './gap.js'
import { type FenceLevel, findObstacles, printFullNames, withStatementTimeout } from './level.js'

/** Result of an audit. */
export interface FenceReport {
  level: FenceLevel
  gaps: FenceGap[]
  /** What a caller can find out or do although there is no gap, with a suggestion. Nothing is refused because of a note. */
  notes: FenceGap[]
  /** What keeps the level from being `signed`. Missing if the level is `signed`, or if other gaps must be fixed first. */
  obstacles?: FenceGap[]
  /** Set if this server signs with the previous secret, which stops working at the next change. */
  warning?: string
}

interface CheckedTable {
  /** The same however the table is renamed. */
  oid: string
  name: string
}

/** A report, and the tables that it is about. */
export interface FenceCheck extends FenceReport {
  checked?: readonly CheckedTable[]
  /** Locked by another session, so that nothing is known about their rows and policies. */
  locked?: readonly CheckedTable[]
}

/** Options of {@link auditFence}. */
export interface FenceOptions {
  db: Kysely<Database>
  /** A scoped handle for a user who owns no rows. */
  withoutRows: Kysely<Database>
  role: string
  /** Timeout of each statement, in milliseconds. */
  timeout: number
  /** The required level. A lower one is a gap. @default 'plain' */
  required?: FenceLevel | undefined
  /** Names of the option `owners`. @default none */
  ownerNames?: readonly string[]
}

/**
 * Checks that users are kept apart: reads what the application role can reach and become, and tries it with forged identities.
 * Relations of an extension, and what PostgreSQL lets every role read, do not count.
 *
 * @returns the level, and the gaps (empty if users are kept apart)
 */
export const auditFence = (options: FenceOptions) => checkUntilSteady(options, { isComplete: true })

/**
 * The part of the audit that runs every minute. It reads the catalogue and looks for rows without an owner; it forges no identity, so a
 * healthy server writes no error into the log of PostgreSQL. It has no notes.
 */
export const checkFence = (options: FenceOptions) => checkUntilSteady(options, { isComplete: false })

interface Extent {
  isComplete: boolean
}

const maxRuns = 4

/** A run may see a migration half committed, or a locked table. It is repeated until one finds nothing, or two in a row the same. */
async function checkUntilSteady(options: FenceOptions, extent: Extent): Promise<FenceCheck> {
  let last: FenceCheck | undefined
  for (let run = 1; ; run++) {
    const found = await runChecks(options, extent).catch(error => {
      if (run > 1 || !(error instanceof pg.DatabaseError)) throw error
    })
    if (found === undefined) continue
    const next = last === undefined ? found : withEarlier(found, last)
    const isClean = next.gaps.length === 0 && !next.locked?.length
    if (isClean || run >= maxRuns || (last !== undefined && isSameCheck(next, last))) return next
    last = next
  }
}

/** What a run could not see, because tables were locked, is what the run before it saw. */
function withEarlier(next: FenceCheck, last: FenceCheck): FenceCheck {
  const { locked = [], checked = [] } = next
  if (locked.length === 0) return next
  const isIn = (tables: readonly CheckedTable[]) => (table: CheckedTable) =>
    tables.some(({ oid }) => oid === table.oid)
  // Under the names that they had then, as in the gaps.
  const known = last.checked?.filter(isIn(locked)) ?? []
  const earlier = last.gaps.filter(
    ({ object }) => object === theLevel || known.some(({ name }) => name === object),
  )
  return {
    ...next,
    // The level depends on the policies of every table.
    level: last.level === 'plain' ? 'plain' : next.level,
    gaps: [...next.gaps, ...earlier.filter(gap => !next.gaps.some(isSameGap(gap)))],
    checked: [...checked, ...known],
    locked: locked.filter(table => !isIn(known)(table)),
  }
}

function isSameCheck(one: FenceCheck, other: FenceCheck): boolean {
  const isIn = (gaps: readonly FenceGap[]) => (gap: FenceGap) => gaps.some(isSameGap(gap))
  const lockedOf = ({ locked = [] }: FenceCheck) => locked.map(({ oid }) => oid).join()
  return (
    one.gaps.length === other.gaps.length &&
    one.gaps.every(isIn(other.gaps)) &&
    lockedOf(one) === lockedOf(other)
  )
}

async function runChecks(options: FenceOptions, extent: Extent): Promise<FenceCheck> {
  const { db, withoutRows, role, timeout, required } = options
  const mismatch = await findRoleMismatch(db, role)
  if (mismatch.length > 0) return { level: 'plain', gaps: mismatch, notes: [] }
  const { gaps, notes, tables, protectedTables, checked, locked } = await withStatementTimeout(
    db,
    timeout,
    trx => inspectCatalogue(trx, options, extent),
  )
  if (!(await acceptsIdentity(withoutRows))) return { level: 'plain', gaps: [...gaps, identityGap], notes }
  gaps.push(...(await findSeenTables(withoutRows, tables, role)))
  const obstacles = await findObstacles(db, { role, tables, protectedTables, timeout, ...extent })
  const level = obstacles.length === 0 ? 'signed' : 'plain'
  if (required === 'signed') gaps.push(...obstacles)
  const isOutdated = extent.isComplete && (await usesPreviousSecret(withoutRows))
  return {
    level,
    gaps,
    notes,
    checked,
    locked,
    ...(level === 'plain' && { obstacles }),
    ...(isOutdated && { warning: previousSecretWarning }),
  }
}

/** Finds tables in which a user who owns no rows sees some. In one statement, however many tables there are. */
async function findSeenTables(
  withoutRows: Kysely<Database>,
  tables: readonly string[],
  role: string,
): Promise<FenceGap[]> {
  if (tables.length === 0) return []
  const checks = tables.map(name => sql`exists (select from ${sql.raw(name)})`)
  const { rows } = await sql<{ seen: boolean[] }>`select array[${sql.join(checks)}] as seen`.execute(
    withoutRows,
  )
  return tables
    .filter((_, index) => rows[0]?.seen[index])
    .map(name => ({
      object: name,
      problem: 'a user who owns no rows can see rows',
      fix: revoke('all', name, ['public', role]),
    }))
}

async function acceptsIdentity(withoutRows: Kysely<Database>): Promise<boolean> {
  try {
    const { rows } = await sql<{ isAccepted: boolean | null }>`
      select trpc_bearer.user_id() = current_setting('app.user_id') as "isAccepted"`.execute(withoutRows)
    return rows[0]?.isAccepted ?? false
  } catch (error) {
    if (causesOf(error).some(isIdentityRejected)) return false
    throw error
  }
}

/** The function exists once a migration has set up the level `signed`. */
async function usesPreviousSecret(withoutRows: Kysely<Database>): Promise<boolean> {
  const { rows: found } = await sql<{ exists: boolean }>`
    select to_regprocedure('trpc_bearer.is_signed_currently()') is not null as exists`.execute(withoutRows)
  if (!found[0]?.exists) return false
  const { rows } = await sql<{ isCurrent: boolean | null }>`
    select trpc_bearer.is_signed_currently() as "isCurrent"`.execute(withoutRows)
  return rows[0]?.isCurrent === false
}

const previousSecretWarning =
  'FENCE_SECRET is the previous secret. It stops working at the next change: give this server the current one.'

const identityGap: FenceGap = {
  object: 'the identity',
  problem: 'the database rejects it: FENCE_SECRET is missing, or differs from the secret of the migration',
  fix: '-- give this server the FENCE_SECRET of the migration (migrating with another one changes it for every server)',
}

interface Inspection {
  gaps: FenceGap[]
  notes: FenceGap[]
  /** Protected tables that the role can read by name. */
  tables: string[]
  protectedTables: string[]
  checked: CheckedTable[]
  locked: CheckedTable[]
}

/** Finds the gaps that the catalogue shows, and the protected tables to try, with their schemas. */
async function inspectCatalogue(
  db: Kysely<Database>,
  { role, ownerNames = [] }: Pick<FenceOptions, 'role' | 'ownerNames'>,
  { isComplete }: Extent,
): Promise<Inspection> {
  const gaps = await findRoleGaps(db, role)
  const found: Inspection = { gaps, notes: [], tables: [], protectedTables: [], checked: [], locked: [] }
  // Every other gap would be a consequence.
  if (gaps.length > 0) return found
  const { notes, tables, protectedTables, checked, locked } = found
  await printFullNames(db)
  for (const findGaps of [findSchemaGaps, findSharedStateGaps, findCatalogueGaps])
    gaps.push(...(await findGaps(db, role)))
  for (const relation of await findReachableRelations(db, role)) {
    const { oid, name, owner, isOpen, rights, grantees } = relation
    const unknown = relation.isLocked ? { hasOwnPolicy: true, loosePolicies: [] } : {}
    const problems = findRelationGaps({ ...relation, ...unknown }, role)
    gaps.push(...problems)
    const seen = relation.isLocked ? locked : checked
    seen.push({ oid, name })
    if (problems.length > 0 || owner === null || relation.isLocked) continue
    protectedTables.push(name)
    if (isOpen && rights.includes('select')) tables.push(name)
    for (const { problem, fix } of await findBrokenRules(db, oid, owner))
      gaps.push({ object: name, problem, fix: fix ?? revoke('all', name, grantees) })
    if (!isComplete) continue
    if (owner.by !== 'user' && !ownerNames.includes(owner.by))
      notes.push({
        object: name,
        problem: `its rows belong to ${owner.by}, and this process has no owners.${owner.by}, so it shows none of them (npx trpc-bearer fence never has one)`,
        fix: `-- openDatabase({ owners: { ${owner.by}: user => … } })`,
      })
    for (const { problem, fix } of await findRevealingKeys(db, oid, owner.name))
      notes.push({ object: name, problem, fix: fix ?? '' })
  }
  if (!isComplete) return found
  for (const findNotes of [findLoginsWithoutRows, findOwnersFunctions])
    notes.push(...(await findNotes(db, role)))
  for (const { name, owner, fix } of await findLeakyIndexes(db, protectedTables))
    notes.push({
      object: `index ${name}`,
      problem: `it does not start with ${owner} as the policy compares it, so injected SQL can count values of other users in it`,
      fix: `-- no problem if the values say nothing about a person; else: ${fix}`,
    })
  return found
}
