/**
 * Functions of PostgreSQL that change nothing but their result, and the keywords, types and aggregates that stand before an
 * opening bracket.
 */
const harmless = new Set(
  `all and any array as asc between by case conflict cube desc distinct do else except exists explain filter from
  group grouping having ilike in intersect is join lateral like limit materialized not nothing offset on only or order over
  partition recursive returning rollup row rows select set sets similar some then union update using values when where window
  with within
  char character decimal numeric time timestamp timestamptz varchar bit varbit interval
  abs age array_agg array_append array_length array_position array_remove array_to_string avg bool_and bool_or btrim
  cardinality cast ceil ceiling char_length character_length clock_timestamp coalesce concat concat_ws count cume_dist
  current_setting date_bin date_part date_trunc decode dense_rank encode every exp extract first_value floor format
  gen_random_uuid generate_series greatest initcap json_agg json_build_array json_build_object json_object_agg
  jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each
  jsonb_extract_path jsonb_extract_path_text jsonb_object_agg jsonb_object_keys jsonb_set jsonb_strip_nulls jsonb_typeof
  lag last_value lead least left length ln lower lpad ltrim make_date make_interval max md5 min mod mode now nth_value ntile
  nullif octet_length overlay percent_rank percentile_cont percentile_disc position power rank regexp_match
  regexp_replace repeat replace reverse right round row_number row_to_json rpad rtrim sha256 sign split_part sqrt starts_with
  statement_timestamp strpos string_agg string_to_array substr substring sum timezone to_char to_date to_json to_jsonb
  to_number to_timestamp to_tsquery to_tsvector transaction_timestamp translate trim trunc ts_rank unnest upper uuidv7
  websearch_to_tsquery width_bucket trpc_bearer.user_id`.split(/\s+/),
)

const called = /(\.\s+)?((?<![\w$.\u0080-\uffff])[\w$.\u0080-\uffff]+|(?<!")"(?:[^"]|"")*")\s*\(/g

/** The table that a statement writes to, and what brackets follow it. PostgreSQL takes SELECT INTO in no such statement. */
const written = /^\s*(insert|merge)\s+into\s+("\w+"|\w+)(\s*\.\s*("\w+"|\w+))?|^\s*(update|delete)\b/i

/** A setting changed by a view, or what hides a name from this search: a comment, an escape. */
const hidden = /pg_settings|--|\/\*|u&"/i

/** A field, or a function called as one: `(42).pg_advisory_lock`, `g.pg_advisory_lock from generate_series(1, 1) g`. */
const field = /\.(?=\s*("(?:[^"]|"")*"|[\w$\u0080-\uffff]+))/g

/**
 * True unless it is plain that a query leaves nothing in the session: a setting (`set_config`, `update pg_settings`), a lock
 * (`pg_advisory_lock`), a temporary table (`select … into`), whether it calls for that itself or through a function that runs
 * text (`query_to_xml`). It errs on the safe side: names in strings count, and any function that is not known to be harmless.
 *
 * @param text a statement that `requireQuery` lets through
 * @param volatileFunctions names of functions that may be called as a field
 */
export function mayLeaveBehind(text: string, volatileFunctions: ReadonlySet<string>): boolean {
  if (hidden.test(text)) return true
  for (const [, name = ''] of text.matchAll(field)) {
    const own = unquoted(name)
    // PostgreSQL folds ASCII alone, and cuts a name after 63 bytes.
    if (Buffer.byteLength(own) > 63 || volatileFunctions.has(own) || volatileFunctions.has(own.toLowerCase()))
      return true
  }
  if (/\binto\b/i.test(text) && !written.test(text)) return true
  return [...text.replace(written, '').matchAll(called)].some(
    ([, qualified, name = '']) => qualified !== undefined || !harmless.has(name.toLowerCase()),
  )
}

const unquoted = (name: string) =>
  name.startsWith('"')
    ? name.slice(1, -1).replaceAll('""', '"')
    : name.replace(/[A-Z]/g, letter => letter.toLowerCase())

// A query makes one where an extension runs text that may be anything (xml2), under a name of ours too.
const forgetPrepared = `do $$
  declare prepared text;
  begin
    for prepared in select name from pg_catalog.pg_prepared_statements where from_sql loop
      execute pg_catalog.format('deallocate %I', prepared);
    end loop;
  end $$`

/** Before a transaction: or `lastval()` and `currval()` tell the numbers of the caller before. */
export const forgetSequences = { text: 'discard sequences' }

/** Statements that take back what a query can leave in a session. */
export const cleanSession: readonly string[] = [
  'set constraints all immediate',
  'close all',
  'reset session authorization',
  'reset role',
  'reset all',
  'unlisten *',
  'select pg_advisory_unlock_all()',
  'discard temp',
  // What was planned under a caller's settings would answer the next one.
  'discard plans',
  forgetSequences.text,
  // Not by random(), which goes on from the seed that was left.
  'select setseed(hashtext(gen_random_uuid()::text) / 2147483648.0)',
  forgetPrepared,
]
