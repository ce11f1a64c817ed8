import { type Kysely, sql } from 'kysely'
import type { Database } from '../schema.js'
import { bodyMayLeaveBehind, wordsOf } from './session-cleanup.js'

/** Facts about the database that scoped statements depend on. Only migrations change them. */
export interface SessionFacts {
  /** Schemas in which statements find tables, with `pg_temp` last. */
  searchPath: string
  /** Names of functions that may leave something in the session, in lower case. */
  functions: ReadonlySet<string>
  /**
   * A function that a statement calls without naming it (by a trigger, a default, a view, an operator, a cast, a domain) may leave
   * something in the session, or one that has a name of several words. Then it is cleaned after every statement.
   */
  hasSideEffects: boolean
  /**
   * A function depends on settings when a session first parses it: a backslash on `standard_conforming_strings`, the name of a type
   * that exists in two schemas on `search_path`, or in a temporary table that another function creates. No cleaning undoes that, so a
   * connection that had to be cleaned is destroyed.
   */
  parsesUnderSettings: boolean
}

/**
 * Volatile functions that leave nothing, and tell nothing about another caller: built-in ones, and those of common extensions. What
 * `nextval` leaves is forgotten before another function can read it.
 */
const harmless =
  `nextval gen_random_uuid uuidv4 uuidv7 clock_timestamp timeofday pg_sleep current_query system bernoulli
  uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 gen_random_bytes gen_salt unaccent`.split(/\s+/)

/** A name that is found among the words of a statement. */
const plainName = /^[a-z_][\w$]*$/

/** A function that is not built in. */
interface OwnFunction {
  name: string
  /** Null if it cannot be read, as in an extension or in C. */
  source: string | null
  /** A trigger, a default, a view, an operator, a cast, a domain calls it, so statements call it without naming it. */
  isUnnamed: boolean
}

/** Whether a function may select into a table. Where a statement ends cannot be told from the text. */
const maySelectInto = sql`lanname = 'sql' and prosrc ~* '\\minto\\M' and (prosrc !~* '^\\s*(insert|merge)\\s+into\\M' or prosrc ~* '\\minto\\M.*\\minto\\M')`

/** Reads the facts. What a caller left in the session does not change the result. */
export async function readSessionFacts(db: Kysely<Database>): Promise<SessionFacts> {
  const { rows } = await sql<{
    path: string
    loginSchema: string | null
    builtIn: string[]
    own: OwnFunction[]
    callsBuiltIn: boolean
    parsesUnderSettings: boolean
  }>`
    select
      (select reset_val from pg_catalog.pg_settings where name = 'search_path') as path,
      (
        select pg_catalog.quote_ident(nspname) from pg_catalog.pg_namespace
        where nspname = session_user and pg_catalog.has_schema_privilege(session_user, oid, 'usage')
      ) as "loginSchema",
      array(
        select distinct proname::pg_catalog.text from pg_catalog.pg_proc
        where oid < 16384 and provolatile = 'v' and proname::pg_catalog.text <> all (${harmless}::pg_catalog.text[])
      ) as "builtIn",
      coalesce((
        select pg_catalog.json_agg(pg_catalog.json_build_object('name', proname, 'source', source, 'isUnnamed', is_used)) from (
          select proname, provolatile, is_extended,
            case
              -- Its tables are temporary ones.
              when pg_catalog.array_to_string(proconfig, ' ') ~* 'search_path="?pg_temp' then 'temp'
              when ${maySelectInto} then 'temp'
              when lanname in ('sql', 'plpgsql') and not is_extended then coalesce(pg_catalog.pg_get_function_sqlbody(f.oid), prosrc)
            end as source,
            exists (
              select from pg_catalog.pg_depend d
              left join pg_catalog.pg_rewrite r on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = d.objid
              where d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.refobjid = f.oid
                -- What an extension does with its own functions is not looked at.
                and not exists (
                  select from pg_catalog.pg_depend e
                  where e.deptype = 'e' and (e.classid, e.objid) in ((d.classid, d.objid), ('pg_catalog.pg_class'::pg_catalog.regclass, r.ev_class))
                )
            ) as is_used
          from pg_catalog.pg_proc f join pg_catalog.pg_language l on l.oid = prolang cross join lateral (
            select exists (
              select from pg_catalog.pg_depend e
              where e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and e.objid = f.oid and e.deptype = 'e'
            ) as is_extended
          ) extension
          where f.oid >= 16384 and pronamespace is distinct from pg_catalog.to_regnamespace('trpc_bearer')
        ) f
        -- Some stable functions of extensions (tablefunc) run any text.
        where source is not null or provolatile <> 'i' and not (is_extended and proname::pg_catalog.text = any (${harmless}::pg_catalog.text[]))
      ), '[]') as own,
      exists (
        select from (
          select pg_catalog.concat(ev_action::pg_catalog.text, ev_qual::pg_catalog.text) from pg_catalog.pg_rewrite where ev_class >= 16384
          union all select adbin::pg_catalog.text from pg_catalog.pg_attrdef where adrelid >= 16384
          union all select conbin::pg_catalog.text from pg_catalog.pg_constraint where oid >= 16384 and conbin is not null
          union all select pg_catalog.concat(polqual::pg_catalog.text, polwithcheck::pg_catalog.text) from pg_catalog.pg_policy
          union all select tgqual::pg_catalog.text from pg_catalog.pg_trigger where tgqual is not null
          union all select typdefaultbin::pg_catalog.text from pg_catalog.pg_type where oid >= 16384 and typdefaultbin is not null
          union all select proargdefaults::pg_catalog.text from pg_catalog.pg_proc where oid >= 16384 and proargdefaults is not null
          -- An operator, a cast or an aggregate of the application on a built-in function.
          union all select ':funcid ' || oprcode::pg_catalog.oid from pg_catalog.pg_operator where oid >= 16384
          union all select ':funcid ' || castfunc from pg_catalog.pg_cast where oid >= 16384
          union all select pg_catalog.format(':funcid %s :funcid %s :funcid %s :funcid %s :funcid %s', aggtransfn::pg_catalog.oid,
              aggfinalfn::pg_catalog.oid, aggmtransfn::pg_catalog.oid, aggminvtransfn::pg_catalog.oid, aggmfinalfn::pg_catalog.oid)
            from pg_catalog.pg_aggregate where aggfnoid >= 16384
          union all select ':funcid ' || amproc::pg_catalog.oid from pg_catalog.pg_amproc where oid >= 16384
        ) expression (tree), pg_catalog.regexp_matches(tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') called
        join pg_catalog.pg_proc f on f.oid = called[1]::pg_catalog.oid
        where f.oid < 16384 and provolatile = 'v' and proname::pg_catalog.text <> all (${harmless}::pg_catalog.text[])
      ) or exists (
        -- A view of the application over the one that changes settings.
        select from pg_catalog.pg_depend d join pg_catalog.pg_rewrite r on r.oid = d.objid and r.ev_class >= 16384
        where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.refobjid = 'pg_catalog.pg_settings'::pg_catalog.regclass
      ) as "callsBuiltIn",
      exists (
        select from pg_catalog.pg_proc join pg_catalog.pg_language l on l.oid = prolang and lanname in ('sql', 'plpgsql')
        where pg_proc.oid >= 16384 and prosqlbody is null and pg_catalog.strpos(prosrc, chr(92)) > 0
          and pg_catalog.strpos(coalesce(proconfig::pg_catalog.text, ''), 'standard_conforming_strings') = 0
      ) or exists (
        -- What may create a temporary table, or keeps values in the memory of its language.
        select from pg_catalog.pg_proc join pg_catalog.pg_language l on l.oid = prolang
        where pg_proc.oid >= 16384 and pronamespace is distinct from pg_catalog.to_regnamespace('trpc_bearer')
          and (prosrc ~* '\\m(temp|temporary|pg_temp|execute|create)\\M' or ${maySelectInto} or lanname not in ('sql', 'plpgsql', 'c', 'internal')
            or pg_catalog.array_to_string(proconfig, ' ') ~* 'search_path="?pg_temp')
      ) or exists (
        select from pg_catalog.pg_proc join pg_catalog.pg_language l on l.oid = prolang and lanname = 'plpgsql'
        where pg_proc.oid >= 16384 and pronamespace <> pg_catalog.to_regnamespace('trpc_bearer')
          and pg_catalog.strpos(coalesce(proconfig::pg_catalog.text, ''), 'search_path=') = 0
      ) and exists (
        -- A variable keeps the type and the collation that these names had when the function was compiled.
        select typname from pg_catalog.pg_type join pg_catalog.pg_namespace n on n.oid = typnamespace
        where nspname !~ '^pg_(toast|temp)' and typtype in ('b', 'c', 'd', 'e', 'r', 'm')
          and typcategory <> 'A'
        group by typname having pg_catalog.count(*) > 1
        union all
        select collname from pg_catalog.pg_collation group by collname having pg_catalog.count(distinct collnamespace) > 1
      ) as "parsesUnderSettings"`.execute(db)
  const [row] = rows
  if (row === undefined) throw new Error('PostgreSQL returned no row.')
  const functions = findFunctions(row.builtIn, row.own)
  return {
    searchPath: searchPathOf(row.path, row.loginSchema),
    functions,
    hasSideEffects:
      row.callsBuiltIn ||
      // Such a name cannot be found among the words of a statement.
      [...functions].some(name => !plainName.test(name)) ||
      row.own.some(({ name, isUnnamed }) => isUnnamed && functions.has(name.toLowerCase())),
    parsesUnderSettings: row.parsesUnderSettings,
  }
}

/** Those that may leave something in the session, and those that mention one of these, in lower case. */
function findFunctions(builtIn: readonly string[], own: readonly OwnFunction[]): Set<string> {
  const names = new Set(builtIn.map(name => name.toLowerCase()))
  const found = own.filter(({ source }) => source === null || bodyMayLeaveBehind(source, names))
  /** For each name, the functions that mention it. */
  const mentions = new Map<string, OwnFunction[]>(own.map(({ name }) => [name.toLowerCase(), []]))
  for (const each of own) for (const word of wordsOf(each.source ?? '')) mentions.get(word)?.push(each)
  for (let each = found.pop(); each !== undefined; each = found.pop()) {
    const name = each.name.toLowerCase()
    if (names.has(name)) continue
    names.add(name)
    found.push(...(mentions.get(name) ?? []))
  }
  return names
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
