import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import type { AnyKysely } from '../schema.js'

/** The serving login does not exist. */
export class LoginError extends Error {
  override name = 'LoginError'

  constructor(login: string) {
    super(
      `The login ${login} does not exist. An administrator runs:\n  create role ${login} login noinherit password '…';`,
    )
  }
}

/**
 * Finds the login that a URL leads to. PostgreSQL is asked, because a pooler may map one name to another (`postgres.project`); if it
 * does not answer, the login is what pg would use.
 *
 * @returns undefined if the URL and `PGUSER` name no login
 */
export async function findLogin(url: string): Promise<string | undefined> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query<{ login: string }>('select session_user as login')
    return rows[0]?.login
  } catch {
    return client.user
  } finally {
    await client.end().catch(() => {})
  }
}

/**
 * Allows the serving login to become the role, without inheriting the rights of the role.
 *
 * @returns SQL that an administrator must run because this login may not; empty if nothing is missing
 * @throws LoginError if the login does not exist
 */
export async function grantRoleToLogin(db: AnyKysely, role: string, login: string): Promise<string[]> {
  const refused: string[] = []
  for (const statement of await findMissingChanges(db, role, login)) {
    await changeRole(db, statement).catch(error => {
      if (error.code !== '42501') throw error
      refused.push(statement)
    })
  }
  return refused
}

/** Empty for a superuser, who may become any role. */
async function findMissingChanges(db: AnyKysely, role: string, login: string): Promise<string[]> {
  const { rows } = await sql<{ name: string; needsNothing: boolean; inherits: boolean }>`
    select quote_ident(rolname) as name, rolsuper or rolname = session_user as "needsNothing", rolinherit as inherits
    from pg_roles where rolname = ${login}`.execute(db)
  const [found] = rows
  if (found === undefined) throw new LoginError(login)
  if (found.needsNothing) return []
  const grants = await findMissingGrants(db, role, login)
  return found.inherits ? [...grants, `alter role ${found.name} noinherit;`] : grants
}

/**
 * Finds the grants that a login lacks to become the role, as SQL. From PostgreSQL 16 on each grantor makes a membership with its own
 * options, and none of them may be inherited.
 */
export async function findMissingGrants(db: AnyKysely, role: string, login: string): Promise<string[]> {
  const { rows: held } = await sql<{ grantor: string; canBecome: boolean; inherits: boolean }>`
    select quote_ident(pg_get_userbyid(grantor)) as grantor,
      coalesce(to_jsonb(m) ->> 'set_option', 'true')::boolean as "canBecome",
      coalesce(to_jsonb(m) ->> 'inherit_option', 'false')::boolean as inherits
    from pg_auth_members m
    where pg_get_userbyid(roleid) = ${role} and pg_get_userbyid(member) = ${login}`.execute(db)
  const { rows } = await sql<{ grant: string }>`
    select format('grant %I to %I', ${role}::text, ${login}::text)
      || case when current_setting('server_version_num')::int >= 160000 then ' with inherit false, set true' else '' end as grant`.execute(
    db,
  )
  const grant = rows[0]?.grant
  return [
    ...(held.some(membership => membership.canBecome) ? [] : [`${grant};`]),
    ...held.filter(({ inherits }) => inherits).map(({ grantor }) => `${grant} granted by ${grantor};`),
  ]
}

/** Retries, because roles belong to the cluster and locks to one database: two migrations can change one role at the same time. */
async function changeRole(db: AnyKysely, statement: string, attempts = 100): Promise<void> {
  try {
    await sql.raw(statement).execute(db)
  } catch (error) {
    const isConflict = error instanceof Error && 'code' in error && conflictCodes.has(error.code)
    if (!isConflict || attempts === 1) throw error
    await setTimeout(Math.random() * 100)
    await changeRole(db, statement, attempts - 1)
  }
}

/** unique_violation, and internal_error "tuple concurrently updated". */
const conflictCodes: ReadonlySet<unknown> = new Set(['23505', 'XX000'])
