import { sql } from 'kysely'
import { databaseProblem } from '../../db/database-problem.js'
import { findMissingGrants } from '../../db/fence/serving-login.js'
import type { OpenDatabase } from '../../db/open-database.js'
import { causesOf } from '../../shared/error-handling.js'
import type { Config } from '../app/config.js'
import { CommandError } from './command.js'

const logins = '"Logins" in docs/operations.md'

/**
 * Explains an error of a command that runs with the serving login.
 *
 * @returns a CommandError if the login lacks a right, else the same error
 */
export async function explainServingError(
  error: unknown,
  db: OpenDatabase['admin'],
  role: string,
): Promise<unknown> {
  const denial = permissionDeniedMessage(error)
  if (denial === undefined) return error
  const { rows } = await sql<{ login: string }>`select session_user as login`.execute(db)
  const grants = await findMissingGrants(db, role, rows[0]?.login ?? '')
  const problem = `The login of DATABASE_URL lacks a right (${denial}).`
  return new CommandError(grants.length > 0 ? withSql(problem, grants) : `${problem} See ${logins}.`, {
    cause: error,
  })
}

/**
 * Explains an error of a command that migrates.
 *
 * @returns a CommandError if the login lacks a right or the database cannot be used, else the same error
 */
export async function explainMigrationError(
  error: unknown,
  db: OpenDatabase['admin'],
  { migrationDatabaseUrl }: Config,
): Promise<unknown> {
  const denial = permissionDeniedMessage(error)
  const url = migrationDatabaseUrl === undefined ? 'DATABASE_URL' : 'MIGRATION_DATABASE_URL'
  const problem = denial === undefined ? databaseProblem(error, url) : await explainDenial(db, denial)
  return problem === undefined ? error : new CommandError(problem, { cause: error })
}

async function explainDenial(db: OpenDatabase['admin'], denial: string): Promise<string> {
  const { rows } = await sql<{ login: string; owner: string; isOwner: boolean }>`
    select quote_ident(session_user) as login, owner::regrole::text as owner,
      pg_has_role(session_user, owner, 'usage') as "isOwner"
    from (
      select coalesce(
        (select nspowner from pg_namespace where nspname = 'trpc_bearer'),
        (select datdba from pg_database where datname = current_database())) as owner
    ) database`.execute(db)
  const { login = '', owner = '', isOwner = true } = rows[0] ?? {}
  const other = isOwner ? 'Give' : `Set MIGRATION_DATABASE_URL to a URL of ${owner}, or give`
  return `${login} may not migrate this database (${denial}). ${other} ${login} the rights of ${logins}.`
}

/** PostgreSQL's message if the login lacks a right; undefined for any other error. */
function permissionDeniedMessage(error: unknown): string | undefined {
  return causesOf(error).find(cause => 'code' in cause && cause.code === '42501')?.message
}

/** A problem, followed by the SQL that an administrator runs. */
export function withSql(problem: string, statements: readonly string[]): string {
  return `${problem} An administrator runs:\n${statements.map(statement => `  ${statement}`).join('\n')}`
}
