import { type Kysely, sql } from 'kysely'
import type { Database } from '../schema.js'
import { bodyMayLeaveBehind } from './session-cleanup.js'

/** Facts about the database that scoped statements depend on. Only migrations change them. */
export interface SessionFacts {
  /** Schemas in which statements find tables, with `pg_temp` last. */
  searchPath: string
  /**
   * Functions that may change the session: those of the application, and built-in ones that can be called like a field:
   * `(42).pg_advisory_lock`. Stable functions count too unless they are built in, because some (tablefunc) run any text.
   */
  volatileFunctions: ReadonlySet<string>
  /**
   * A function that a statement calls without naming it (by a trigger, a default, a view, an operator, a cast, a domain) may leave
   * something in the session. Then it is cleaned after every statement.
   */
  hasSideEffects: boolean
  /**
   * A function depends on settings when a session first parses it: a backslash on `standard_conforming_strings`, the name of a type
   * that exists in two schemas on `search_path`. No cleaning undoes that, so a connection that had to be cleaned is destroyed.
   */
  parsesUnderSettings: boolean
}

/** Built-in functions that are volatile and leave nothing. Sequences are cleaned by `forgetSequences`. */
const harmlessVolatile =
  'nextval currval lastval random random_normal gen_random_uuid uuidv4 uuidv7 clock_timestamp timeofday pg_sleep'.split(
    ' ',
  )

/** Reads the facts. What a caller left in the session does not change the result. */
export async function readSessionFacts(db: Kysely<Database>): Promise<SessionFacts> {
  const { rows } = await sql<{
    path: string
    own: string | null
    functions: string[]
    bodies: string[]
    callsBuiltIn: boolean
    parsesUnderSettings: boolean
  }>`
    select
      (select reset_val from pg_catalog.pg_settings where name = 'search_path') as path,
      (
        select pg_catalog.quote_ident(nspname) from pg_catalog.pg_namespace
        where nspname = session_user and pg_catalog.has_schema_privilege(session_user, oid, 'usage')
      ) as own,
      array(
        select distinct proname::pg_catalog.text from pg_catalog.pg_proc
        where (provolatile = 'v' or provolatile = 's' and oid >= 16384)
          and (oid >= 16384 and pronamespace is distinct from pg_catalog.to_regnamespace('trpc_bearer')
            or pronargs > 0 and (pronargs - pronargdefaults <= 1 or provariadic <> 0))
      ) as functions,
      array(
        select case when lanname in ('sql', 'plpgsql') then coalesce(pg_catalog.pg_get_function_sqlbody(f.oid), prosrc) else 'execute' end
        from pg_catalog.pg_proc f join pg_catalog.pg_language l on l.oid = prolang
        where f.oid >= 16384 and provolatile = 'v' and prokind = 'f' and pronamespace is distinct from pg_catalog.to_regnamespace('trpc_bearer')
          and exists (
            select from pg_catalog.pg_depend d
            where d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.refobjid = f.oid
              and d.classid::pg_catalog.regclass::pg_catalog.text = any (array['pg_trigger', 'pg_attrdef', 'pg_rewrite', 'pg_operator', 'pg_cast',
                'pg_constraint', 'pg_type', 'pg_proc', 'pg_policy', 'pg_class'])
          )
          and not exists (
            select from pg_catalog.pg_depend e
            where e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and e.objid = f.oid and e.deptype = 'e'
          )
      ) as bodies,
      exists (
        select from (
          select ev_action::pg_catalog.text from pg_catalog.pg_rewrite where ev_class >= 16384
          union all select adbin::pg_catalog.text from pg_catalog.pg_attrdef where adrelid >= 16384
          union all select conbin::pg_catalog.text from pg_catalog.pg_constraint where oid >= 16384 and conbin is not null
          union all select pg_catalog.concat(polqual::pg_catalog.text, polwithcheck::pg_catalog.text) from pg_catalog.pg_policy
          union all select tgqual::pg_catalog.text from pg_catalog.pg_trigger where tgqual is not null
          union all select typdefaultbin::pg_catalog.text from pg_catalog.pg_type where oid >= 16384 and typdefaultbin is not null
          union all select proargdefaults::pg_catalog.text from pg_catalog.pg_proc where oid >= 16384 and proargdefaults is not null
          -- An operator, a cast or an aggregate of the application on a built-in function.
          union all select ':funcid ' || oprcode::pg_catalog.oid from pg_catalog.pg_operator where oid >= 16384
          union all select ':funcid ' || castfunc from pg_catalog.pg_cast where oid >= 16384
          union all select pg_catalog.format(':funcid %s :funcid %s', aggtransfn::pg_catalog.oid, aggfinalfn::pg_catalog.oid)
            from pg_catalog.pg_aggregate where aggfnoid >= 16384
        ) expression (tree), pg_catalog.regexp_matches(tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') called
        join pg_catalog.pg_proc f on f.oid = called[1]::pg_catalog.oid
        where f.oid < 16384 and provolatile = 'v' and proname::pg_catalog.text <> all (${harmlessVolatile}::pg_catalog.text[])
      ) as "callsBuiltIn",
      exists (
        select from pg_catalog.pg_proc join pg_catalog.pg_language l on l.oid = prolang and lanname in ('sql', 'plpgsql')
        where pg_proc.oid >= 16384 and prosqlbody is null and pg_catalog.strpos(prosrc, chr(92)) > 0
          and pg_catalog.strpos(coalesce(proconfig::pg_catalog.text, ''), 'standard_conforming_strings') = 0
      ) or exists (
        select from pg_catalog.pg_proc join pg_catalog.pg_language l on l.oid = prolang and lanname = 'plpgsql'
        where pg_proc.oid >= 16384 and pronamespace <> pg_catalog.to_regnamespace('trpc_bearer')
          and pg_catalog.strpos(coalesce(proconfig::pg_catalog.text, ''), 'search_path=') = 0
      ) and exists (
        select typname from pg_catalog.pg_type join pg_catalog.pg_namespace n on n.oid = typnamespace
        where nspname !~ '^pg_(toast|temp)' and typtype in ('b', 'c', 'd', 'e', 'r', 'm')
          and typcategory <> 'A'
        group by typname having pg_catalog.count(*) > 1
      ) as "parsesUnderSettings"`.execute(db)
  const {
    path = '',
    own: loginSchema = null,
    functions = [],
    bodies = [],
    callsBuiltIn = true,
    parsesUnderSettings = true,
  } = rows[0] ?? {}
  const volatileFunctions = new Set(functions)
  return {
    searchPath: searchPathOf(path, loginSchema),
    volatileFunctions,
    hasSideEffects: callsBuiltIn || bodies.some(body => bodyMayLeaveBehind(body, volatileFunctions)),
    parsesUnderSettings,
  }
}

/** Replaces `"$user"` by the login's schema: under the application role it would mean the schema of that role. */
function searchPathOf(path: string, loginSchema: string | null): string {
  const schemas = path.match(/"(?:[^"]|"")*"|[^\s,"]+/g) ?? []
  return schemas
    .map(schema => (schema === '"$user"' ? (loginSchema ?? schema) : schema))
    .filter(schema => !/^"?pg_temp(_\d+)?"?$/i.test(schema))
    .concat('pg_temp')
    .join(', ')
}
