import { sql } from 'kysely'
import { missingGrants, missingToServe } from '../../db/fence/serving-login.js'
import type { OpenDatabase } from '../../db/open-database.js'
import { causesOf } from '../../shared/causes.js'

/** What PostgreSQL says of a right that the login lacks; undefined where the error is another. */
export function denialOf(error: unknown): string | undefined {
  return causesOf(error).find(cause => 'code' in cause && cause.code === '42501')?.message
}

/** What to do where the login that serves lacks a right: the grant of the role, where it is that. */
export async function adviceToServe(
  db: OpenDatabase['admin'],
  role: string,
  denial: string,
): Promise<string> {
  const { rows } = await sql<{ login: string }>`select session_user as login`.execute(db)
  const { login = '' } = rows[0] ?? {}
  return withSql(
    `The login of DATABASE_URL may not do that (${denial}).`,
    await missingGrants(db, role, login),
  )
}

/** What to do where the login that migrates lacks a right: another login, where there is one that migrates, or the grants. */
export async function adviceToMigrate(
  db: OpenDatabase['admin'],
  {
    role,
    login,
    denial,
    isSigned,
  }: { role: string; login: string | undefined; denial: string; isSigned: boolean },
): Promise<string> {
  const { rows } = await sql<{ self: string; migrator: string | null; grants: string[] }>`
    select session_user as self,
      coalesce(
        (select quote_ident(pg_get_userbyid(nspowner)) from pg_namespace
          where nspname = 'trpc_bearer' and not pg_has_role(session_user, nspowner, 'usage')),
        (select quote_ident(pg_get_userbyid(datdba)) from pg_database
          where datname = current_database() and not r.rolinherit and not r.rolcreaterole
            and not pg_has_role(session_user, datdba, 'usage')
            and (${isSigned}
              or exists (select from pg_auth_members where member = r.oid and pg_get_userbyid(roleid) = ${role})))) as migrator,
      array_remove(array[
        case when role.name is null and not rolcreaterole then format('create role %I nologin;', ${role}::text) end,
        case when not coalesce(pg_has_role(session_user, role.name, 'member'), rolcreaterole)
          then format('grant %I to %I;', ${role}::text, session_user) end,
        case when not has_database_privilege(current_database(), 'create')
          then format('grant create on database %I to %I;', current_database(), session_user) end,
        case when not has_schema_privilege(path.schema, 'create') or not has_schema_privilege(path.schema, 'usage')
          then format('grant create, usage on schema %I to %I;', path.schema, session_user) end], null) as grants
    from pg_roles r
      cross join (select coalesce(current_schema(), 'public') as schema) path
      left join (select rolname as name from pg_roles) role on role.name = ${role}
    where rolname = session_user`.execute(db)
  const { self = '', migrator = null, grants = [] } = rows[0] ?? {}
  if (migrator !== null)
    return `${self} is not the login that migrates (${denial}): set MIGRATION_DATABASE_URL, to a URL of ${migrator}.`
  if (login !== undefined && grants.length > 0) grants.push(...(await missingToServe(db, role, login)))
  return withSql(`${self} may not do that (${denial}).`, grants)
}

/** SQL for an administrator, under what it is for. */
export function withSql(problem: string, statements: readonly string[]): string {
  return statements.length === 0
    ? problem
    : `${problem} An administrator runs:\n${statements.map(statement => `  ${statement}`).join('\n')}`
}
