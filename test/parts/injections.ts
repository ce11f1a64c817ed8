/** SQL as a string literal inside other SQL. */
const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`
const xml = (text: string) => `query_to_xml(${quoted(text)}, true, true, '')`
const then = (...expressions: string[]) => `concat(${expressions.join(", ' ', ")})`
const none = `set_config('role', 'none', true)`

/** What an attacker is after. */
export interface InjectionTarget {
  /** A table of the schema public with the columns id and title. */
  table: string
  /** The setting of the value that owns its rows, and that of its signature. */
  setting: string
  signature: string
  /** The values of the attacker and of the victim. */
  own: string
  victim: string
  /** For a value that is not the id of a user: a user who has it, and the signature of the value made for this user. */
  member?: { id: string; signature: string } | undefined
}

/** Expressions that an attacker injects in the place of a value, to read or change the rows of a victim. */
export function injectionsOn(
  target: InjectionTarget,
): readonly (readonly [name: string, expression: string])[] {
  const { table, setting, signature, own, victim, member } = target
  const theirs = `set_config('${setting}', '${victim}', true)`
  const forged = `${theirs} || set_config('${signature}', repeat('0', 64), true)`
  const titles = `select title from public.${table}`
  const all = xml(titles)
  return [
    ['the id set', then(theirs, all)],
    ['the id set for the session', then(`set_config('${setting}', '${victim}', false)`, all)],
    [
      'the id set in a CTE',
      `(with x as materialized (select ${theirs} as y) select ${then('y', all)} from x)`,
    ],
    ['the id set twice', then(theirs, theirs, all)],
    ['the id set in a text of SQL', then(xml(`select ${theirs}`), all)],
    ['the id set two texts deep', then(xml(`select ${xml(`select ${theirs}`)}`), all)],
    ['the id set with a forged signature', then(forged, all)],
    ['the id set with an empty signature', then(theirs, `set_config('${signature}', '', true)`, all)],
    ['the id set, the own signature kept', then(theirs, `current_setting('${signature}', true)`, all)],
    [
      'the id and the signature replayed',
      then(`set_config('${signature}', current_setting('${signature}', true), true)`, theirs, all),
    ],
    ['the id set to many', then(`set_config('${setting}', '${own}'' or ''''=''', true)`, all)],
    ['the id emptied', then(`set_config('${setting}', '', true)`, all)],
    [
      'the id set by pg_settings',
      then(xml(`update pg_settings set setting = '${victim}' where name = '${setting}'`), all),
    ],
    ['the role switched back', then(none, all)],
    ['the role switched back for the session', then(`set_config('role', 'none', false)`, all)],
    ['the role switched back, then the id', then(none, theirs, all)],
    ['the role set to postgres', then(xml(`select set_config('role', 'postgres', true)`), all)],
    [
      'the session authorization set',
      then(xml(`select set_config('session_authorization', 'postgres', true)`), all),
    ],
    ['row security off', then(`set_config('row_security', 'off', true)`, all)],
    ['a table as XML', then(theirs, `table_to_xml('public.${table}', true, true, '')`)],
    [
      'a table as XML with its schema',
      then(none, `table_to_xml_and_xmlschema('public.${table}', true, true, '')`),
    ],
    [
      'a query as XML with its schema',
      then(theirs, `query_to_xml_and_xmlschema(${quoted(titles)}, true, true, '')`),
    ],
    ['a cursor as XML', then(theirs, `cursor_to_xml('', 10, true, true, '')`)],
    [
      'a cursor that a text of SQL opens, as XML',
      then(
        xml(`declare c cursor with hold for select ${theirs}, title from public.${table}`),
        `cursor_to_xml('c', 10, true, true, '')`,
      ),
    ],
    ['a schema as XML', then(none, `schema_to_xml('public', true, true, '')`)],
    ['the database as XML', then(none, `database_to_xml(true, true, '')`)],
    [
      'ts_stat',
      then(
        xml(
          `select * from ts_stat('select to_tsvector(title) from (select ${theirs.replaceAll("'", "''")}) x, public.${table}')`,
        ),
        all,
      ),
    ],
    [
      'ts_rewrite',
      then(`ts_rewrite('a'::tsquery, ${quoted(`select 'a'::tsquery, ${theirs}::tsquery`)})::text`, all),
    ],
    ['the secret read', xml('select encode(inner_pad, $$hex$$) from trpc_bearer.fence_key')],
    [
      'the secret read as the login',
      then(none, xml('select encode(inner_pad, $$hex$$) from trpc_bearer.fence_key')),
    ],
    ['the secret read from its statistics', xml('select * from pg_stats where tablename = $$fence_key$$')],
    [
      'titles read from the statistics',
      xml(`select most_common_vals from pg_stats where tablename = $$${table}$$`),
    ],
    [
      'a large object made of rows',
      then(theirs, `lo_from_bytea(0, convert_to(${all}::text, 'UTF8'))::text`, all),
    ],
    [
      'a large object made from a file, and one written to it',
      then(theirs, `lo_import('/etc/passwd')`, `lo_export(lo_from_bytea(0, 'x'), '/tmp/x')`, all),
    ],
    [
      'another connection by dblink',
      `(select string_agg(title, '') from dblink('dbname=' || current_database(), ${quoted(titles)}) as t(title text))`,
    ],
    [
      'another connection by dblink, as the login',
      then(
        none,
        `dblink_connect('c', 'dbname=' || current_database() || ' user=' || session_user)`,
        xml(`select * from dblink('c', ${quoted(titles)}) as t(title text)`),
      ),
    ],
    [
      'statements in a text of xml2',
      `(select string_agg(title, '') from xpath_table('id', 'title', ${quoted(`(select 1 as id, ''::text as title) x; set local role none; set local ${setting} = '${victim}'; select id::text as id, '<a>' || title || '</a>' as title from public.${table} --`)}, '/a', 'true') as t(id text, title text))`,
    ],
    ['the search path changed', then(`set_config('search_path', 'pg_temp', true)`, all)],
    ['the function called with another id', then(theirs, `trpc_bearer.user_id()`, all)],
    ['their row changed', then(theirs, xml(`update public.${table} set title = 'changed' returning title`))],
    [
      'their row changed as the login',
      then(none, xml(`update public.${table} set title = 'changed' returning title`)),
    ],
    ['their row deleted', then(theirs, xml(`delete from public.${table} returning title`))],
    ...(member === undefined
      ? []
      : ([
          ['the id of a member set', then(`set_config('app.user_id', '${member.id}', true)`, all)],
          [
            'the id and that of a member set',
            then(theirs, `set_config('app.user_id', '${member.id}', true)`, all),
          ],
          [
            'the id set with the signature of the user',
            then(
              theirs,
              `set_config('${signature}', current_setting('app.user_signature', true), true)`,
              all,
            ),
          ],
          [
            'the id set with the signature that a member has',
            then(theirs, `set_config('${signature}', '${member.signature}', true)`, all),
          ],
        ] as const)),
  ]
}
