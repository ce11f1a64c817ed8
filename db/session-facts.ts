import { type Kysely, sql } from 'kysely'
import type { Database } from './schema.js'

/** What statements of callers are run with and judged by. It is the database's, and changes with migrations alone. */
export interface SessionFacts {
  /** Schemas that statements find tables in, with `pg_temp` last. */
  searchPath: string
  /**
   * Functions that may change the session and take one argument: `(42).pg_advisory_lock` calls one without a bracket. Stable ones
   * count too, unless they are PostgreSQL's own: tablefunc's run any text.
   */
  volatileFunctions: ReadonlySet<string>
  /**
   * PostgreSQL reads the text of a function once a session, by the settings of that moment: a backslash by
   * `standard_conforming_strings`, a type that two schemas have by `search_path`. No cleaning takes that back, so if there is such
   * a function a connection that had to be cleaned is ended.
   */
  readsSettingsOnce: boolean
}

/** Reads them. Nothing that a caller has left in the session changes the answer. */
export async function readSessionFacts(db: Kysely<Database>, role: string): Promise<SessionFacts> {
  const { rows } = await sql<{
    path: string
    own: string | null
    functions: string[]
    readsSettingsOnce: boolean
  }>`
    select
      (select reset_val from pg_catalog.pg_settings where name = 'search_path') as path,
      (
        select pg_catalog.quote_ident(nspname) from pg_catalog.pg_namespace
        where nspname = session_user and pg_catalog.has_schema_privilege(session_user, oid, 'usage')
      ) as own,
      array(
        select distinct proname::pg_catalog.text from pg_catalog.pg_proc
        where (provolatile = 'v' or provolatile = 's' and oid >= 16384) and pronargs > 0 and (pronargs - pronargdefaults <= 1 or provariadic <> 0)
      ) as functions,
      exists (
        select from pg_catalog.pg_proc join pg_catalog.pg_language l on l.oid = prolang and lanname in ('sql', 'plpgsql')
        where pg_proc.oid >= 16384 and prosqlbody is null and pg_catalog.strpos(prosrc, chr(92)) > 0
          and pg_catalog.strpos(coalesce(proconfig::pg_catalog.text, ''), 'standard_conforming_strings') = 0
      ) or exists (
        select from pg_catalog.pg_proc join pg_catalog.pg_language l on l.oid = prolang and lanname = 'plpgsql'
        where pg_proc.oid >= 16384 and pg_catalog.strpos(coalesce(proconfig::pg_catalog.text, ''), 'search_path=') = 0
      ) and exists (
        select typname from pg_catalog.pg_type join pg_catalog.pg_namespace n on n.oid = typnamespace
        join pg_catalog.pg_roles r on rolname = ${role}
        where nspname <> 'information_schema' and nspname !~ '^pg_(toast|temp)' and typtype in ('b', 'c', 'd', 'e', 'r')
          and typcategory <> 'A' and pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage')
        group by typname having pg_catalog.count(*) > 1
      ) as "readsSettingsOnce"`.execute(db)
  const { path = '', own = null, functions = [], readsSettingsOnce = true } = rows[0] ?? {}
  return { searchPath: searchPathOf(path, own), volatileFunctions: new Set(functions), readsSettingsOnce }
}

/** The role would look for the login's own schema (`"$user"`) under its own name, so that one is named. */
function searchPathOf(path: string, own: string | null): string {
  const schemas = path.match(/"(?:[^"]|"")*"|[^\s,"]+/g) ?? []
  return schemas
    .map(schema => (schema === '"$user"' ? (own ?? schema) : schema))
    .filter(schema => !/^"?pg_temp(_\d+)?"?$/i.test(schema))
    .concat('pg_temp')
    .join(', ')
}
