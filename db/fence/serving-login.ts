import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import type { AnyKysely } from '../schema.js'

/** The login that is to serve is not there. */
export class LoginError extends Error {
  override name = 'LoginError'

  constructor(login: string) {
    super(
      `There is no login ${login}. An administrator runs:\n  create role ${login} login noinherit password '…';`,
    )
  }
}

/**
 * The login that a URL leads to: what PostgreSQL answers, as a URL need not name it (`PGUSER`) and a pooler may use another, or
 * what pg would log in as where nobody answers.
 *
 * @returns undefined where neither knows
 */
export async function loginOf(url: string): Promise<string | undefined> {
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
 * Lets the login that serves become the role, without having its rights as long as it has not.
 *
 * @returns what is missing and this login may not do, as SQL for an administrator; nothing when all is done
 * @throws LoginError
 */
export async function admitLogin(db: AnyKysely, role: string, login: string): Promise<string[]> {
  const left: string[] = []
  for (const statement of await missingToServe(db, role, login)) {
    await changeRole(db, statement).catch(error => {
      if (error.code !== '42501') throw error
      left.push(statement)
    })
  }
  return left
}

/**
 * What is missing for a login to serve, as SQL. Nothing for a superuser, who may become any role.
 *
 * @throws LoginError
 */
export async function missingToServe(db: AnyKysely, role: string, login: string): Promise<string[]> {
  const { rows } = await sql<{ name: string; isDone: boolean; inherits: boolean }>`
    select quote_ident(rolname) as name, rolsuper or rolname = session_user as "isDone", rolinherit as inherits
    from pg_roles where rolname = ${login}`.execute(db)
  const [found] = rows
  if (found === undefined) throw new LoginError(login)
  if (found.isDone) return []
  const grants = await missingGrants(db, role, login)
  return found.inherits ? [...grants, `alter role ${found.name} noinherit;`] : grants
}

/**
 * The grants that a login needs to become the role, and nothing but that. From PostgreSQL 16 on a membership has options of its
 * own, and there is one from each who granted it: none may be inherited.
 */
export async function missingGrants(db: AnyKysely, role: string, login: string): Promise<string[]> {
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

/** Roles belong to the cluster and locks to one database: whoever changes the same one at the same moment makes this fail. */
async function changeRole(db: AnyKysely, statement: string, attempts = 100): Promise<void> {
  try {
    await sql.raw(statement).execute(db)
  } catch (error) {
    const isConcurrent = error instanceof Error && 'code' in error && concurrent.has(error.code)
    if (!isConcurrent || attempts === 1) throw error
    await setTimeout(Math.random() * 100)
    await changeRole(db, statement, attempts - 1)
  }
}

/** Row of a catalogue that is there already, or "tuple concurrently updated". */
const concurrent: ReadonlySet<unknown> = new Set(['23505', 'XX000'])
