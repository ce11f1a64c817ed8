/** SQL as a string literal inside other SQL. */
const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`
const xml = (text: string) => `query_to_xml(${quoted(text)}, true, true, '')`
const bob = `set_config('app.user_id', 'bob', true)`
const bobSigned = `${bob} || set_config('app.user_signature', repeat('0', 64), true)`
const none = `set_config('role', 'none', true)`
const all = xml('select title from public.tasks')
const then = (...expressions: string[]) => `concat(${expressions.join(", ' ', ")})`

/** Expressions that an attacker injects in the place of a value, to read or change the rows of bob. */
export const injections: readonly (readonly [name: string, expression: string])[] = [
  ['the id set', then(bob, all)],
  ['the id set for the session', then(`set_config('app.user_id', 'bob', false)`, all)],
  ['the id set in a CTE', `(with x as materialized (select ${bob} as y) select ${then('y', all)} from x)`],
  ['the id set twice', then(bob, bob, all)],
  ['the id set in a text of SQL', then(xml(`select ${bob}`), all)],
  ['the id set two texts deep', then(xml(`select ${xml(`select ${bob}`)}`), all)],
  ['the id set with a forged signature', then(bobSigned, all)],
  ['the id set with an empty signature', then(bob, `set_config('app.user_signature', '', true)`, all)],
  ['the id set, the own signature kept', then(bob, `current_setting('app.user_signature', true)`, all)],
  [
    'the id and the signature replayed',
    then(`set_config('app.user_signature', current_setting('app.user_signature', true), true)`, bob, all),
  ],
  ['the id set to many', then(`set_config('app.user_id', 'alice'' or ''''=''', true)`, all)],
  ['the id emptied', then(`set_config('app.user_id', '', true)`, all)],
  [
    'the id set by pg_settings',
    then(xml(`update pg_settings set setting = 'bob' where name = 'app.user_id'`), all),
  ],
  ['the role switched back', then(none, all)],
  ['the role switched back for the session', then(`set_config('role', 'none', false)`, all)],
  ['the role switched back, then the id', then(none, bob, all)],
  ['the role set to postgres', then(xml(`select set_config('role', 'postgres', true)`), all)],
  [
    'the session authorization set',
    then(xml(`select set_config('session_authorization', 'postgres', true)`), all),
  ],
  ['row security off', then(`set_config('row_security', 'off', true)`, all)],
  ['a table as XML', then(bob, `table_to_xml('public.tasks', true, true, '')`)],
  [
    'a table as XML with its schema',
    then(none, `table_to_xml_and_xmlschema('public.tasks', true, true, '')`),
  ],
  [
    'a query as XML with its schema',
    then(bob, `query_to_xml_and_xmlschema('select title from public.tasks', true, true, '')`),
  ],
  ['a cursor as XML', then(bob, `cursor_to_xml('', 10, true, true, '')`)],
  [
    'a cursor that a text of SQL opens, as XML',
    then(
      xml(`declare c cursor with hold for select ${bob}, title from public.tasks`),
      `cursor_to_xml('c', 10, true, true, '')`,
    ),
  ],
  ['a schema as XML', then(none, `schema_to_xml('public', true, true, '')`)],
  ['the database as XML', then(none, `database_to_xml(true, true, '')`)],
  [
    'ts_stat',
    then(
      xml(
        `select * from ts_stat('select to_tsvector(title) from (select ${bob.replaceAll("'", "''")}) x, public.tasks')`,
      ),
      all,
    ),
  ],
  [
    'ts_rewrite',
    then(`ts_rewrite('a'::tsquery, ${quoted(`select 'a'::tsquery, ${bob}::tsquery`)})::text`, all),
  ],
  ['the secret read', xml('select encode(inner_pad, $$hex$$) from trpc_bearer.fence_key')],
  [
    'the secret read as the login',
    then(none, xml('select encode(inner_pad, $$hex$$) from trpc_bearer.fence_key')),
  ],
  ['the secret read from its statistics', xml('select * from pg_stats where tablename = $$fence_key$$')],
  [
    'titles read from the statistics',
    xml('select most_common_vals from pg_stats where tablename = $$tasks$$'),
  ],
  ['a large object made of rows', then(bob, `lo_from_bytea(0, convert_to(${all}::text, 'UTF8'))::text`, all)],
  [
    'a large object made from a file, and one written to it',
    then(bob, `lo_import('/etc/passwd')`, `lo_export(lo_from_bytea(0, 'x'), '/tmp/x')`, all),
  ],
  [
    'another connection by dblink',
    `(select string_agg(title, '') from dblink('dbname=' || current_database(), 'select title from public.tasks') as t(title text))`,
  ],
  [
    'another connection by dblink, as the login',
    then(
      none,
      `dblink_connect('c', 'dbname=' || current_database() || ' user=' || session_user)`,
      xml(`select * from dblink('c', 'select title from public.tasks') as t(title text)`),
    ),
  ],
  [
    'statements in a text of xml2',
    `(select string_agg(title, '') from xpath_table('id', 'title', ${quoted(`(select 1 as id, ''::text as title) x; set local role none; set local app.user_id = 'bob'; select id::text as id, '<a>' || title || '</a>' as title from public.tasks --`)}, '/a', 'true') as t(id text, title text))`,
  ],
  ['the search path changed', then(`set_config('search_path', 'pg_temp', true)`, all)],
  ['the function called with another id', then(bob, `trpc_bearer.user_id()`, all)],
  ['bob changed', then(bob, xml(`update public.tasks set title = 'changed' returning title`))],
  ['bob changed as the login', then(none, xml(`update public.tasks set title = 'changed' returning title`))],
  ['bob deleted', then(bob, xml(`delete from public.tasks returning title`))],
]
