/** Names before an opening bracket that leave nothing in the session: functions without side effects, keywords and types. */
const harmlessNames = new Set(
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

const calls = /(\.\s+)?((?<![\w$.\u0080-\uffff])[\w$.\u0080-\uffff]+|(?<!")"(?:[^"]|"")*")\s*\(/g

/** The start of a writing statement with its table. Brackets may follow it, and PostgreSQL allows no SELECT INTO in it. */
const writeTarget = /^\s*(insert|merge)\s+into\s+("\w+"|\w+)(\s*\.\s*("\w+"|\w+))?|^\s*(update|delete)\b/i

/** A view that changes settings, and what can hide a name from the patterns here: a comment, an escape. */
const notSearchable = /pg_settings|--|\/\*|u&"/i

/** A field, or a function called like one: `(42).pg_advisory_lock`, `g.pg_advisory_lock from generate_series(1, 1) g`. */
const fields = /\.(?=\s*("(?:[^"]|"")*"|[\w$\u0080-\uffff]+))/g

/**
 * True unless a query certainly leaves nothing in the session: no setting, no lock, no temporary table, and no function that is not
 * known to be harmless. It errs on the safe side: names inside strings count too.
 *
 * @param text a statement that `requireQuery` accepts
 * @param volatileFunctions functions that may change the session when they are called like a field
 */
export function mayLeaveBehind(text: string, volatileFunctions: ReadonlySet<string>): boolean {
  if (notSearchable.test(text) || mayCallField(text, volatileFunctions) || mayCreateTable(text)) return true
  return callsUnknown(text.replace(writeTarget, ''), harmlessNames, volatileFunctions)
}

function mayCallField(text: string, volatileFunctions: ReadonlySet<string>): boolean {
  return [...text.matchAll(fields)].some(([, name = '']) => {
    const plain = unquoted(name)
    // PostgreSQL cuts a longer name to 63 bytes, and lowers ASCII letters only.
    return (
      Buffer.byteLength(plain) > 63 ||
      volatileFunctions.has(plain) ||
      volatileFunctions.has(plain.toLowerCase())
    )
  })
}

/** True unless a query certainly creates no table (`select … into`). */
export const mayCreateTable = (text: string) => /\binto\b/i.test(text) && !writeTarget.test(text)

function callsUnknown(text: string, known: ReadonlySet<string>, volatileFunctions: ReadonlySet<string>) {
  return [...text.matchAll(calls)].some(([, qualified, name = '']) => {
    const plain = name.toLowerCase()
    return qualified !== undefined || !known.has(plain) || volatileFunctions.has(plain)
  })
}

/** What may stand before a bracket in a function, besides the names above. */
const bodyNames = new Set([
  ...harmlessNames,
  'if',
  'elsif',
  'while',
  'return',
  'raise',
  'assert',
  'row',
  'next',
])

/** Words of a function that changes the session, or that runs a text which may. */
const bodyCommands =
  /pg_settings|\b(temp|temporary|pg_temp|set_config|execute|prepare|deallocate|listen|unlisten|discard|reset|load|lock|declare\s+\w+\s+cursor\s+with|call|perform|do)\b|(^|;|>|\bbegin|\bthen|\belse|\bloop)\s*set\b/i

/**
 * True unless the source of a function certainly leaves nothing in the session. For functions of the application that a statement calls
 * without naming them: by a trigger, a default, a view, an operator, a cast, a domain.
 */
export function bodyMayLeaveBehind(source: string, volatileFunctions: ReadonlySet<string>): boolean {
  const body = withoutComments(source)
  if (body === undefined || bodyCommands.test(body) || mayCallField(body, volatileFunctions)) return true
  return callsUnknown(
    body.replaceAll(/\b(insert|merge)\s+into\s+[\w."]+/gi, ' values '),
    bodyNames,
    volatileFunctions,
  )
}

/** Strings, quoted names and comments, from left to right. */
const lexemes =
  /'[^']*'|"[^"]*"|\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$[\s\S]*?\$\1\$|--.*|\/\*[\s\S]*?\*\//g

/** Undefined if it is not certain where a comment ends: with escapes, with `$` in a name, and with one comment in another. */
function withoutComments(source: string): string | undefined {
  if (!/--|\/\*/.test(source)) return source
  if (/\\|[\w\u0080-\uffff]\$/.test(source)) return undefined
  const isComment = (text: string) => text.startsWith('--') || text.startsWith('/*')
  const isNested = (text: string) => text.startsWith('/*') && text.includes('/*', 2)
  let isCertain = true
  const body = source.replaceAll(lexemes, text => {
    if (isNested(text)) isCertain = false
    return isComment(text) ? ' ' : text
  })
  const rest = body.replaceAll(lexemes, '')
  return isCertain && !/--|\/\*|\*\/|['"]/.test(rest) ? body : undefined
}

const unquoted = (name: string) =>
  name.startsWith('"')
    ? name.slice(1, -1).replaceAll('""', '"')
    : name.replace(/[A-Z]/g, letter => letter.toLowerCase())

// An extension that runs text (xml2) can prepare a statement, even under one of our names.
const deallocatePrepared = `do $$
  declare prepared text;
  begin
    for prepared in select name from pg_catalog.pg_prepared_statements where from_sql loop
      execute pg_catalog.format('deallocate %I', prepared);
    end loop;
  end $$`

/** Sent at the start of a transaction, so that `lastval()` and `currval()` do not return the last caller's numbers. */
export const forgetSequences = { text: 'discard sequences' }

/** Statements that remove everything that a query can leave in a session. */
export const cleanSession: readonly string[] = [
  'set constraints all immediate',
  'close all',
  'reset session authorization',
  'reset role',
  'reset all',
  'unlisten *',
  'select pg_advisory_unlock_all()',
  'discard temp',
  // A plan made under one caller's settings would be reused for the next.
  'discard plans',
  forgetSequences.text,
  // Not seeded by random(), which continues from the seed that a caller set.
  'select setseed(hashtext(gen_random_uuid()::text) / 2147483648.0)',
  deallocatePrepared,
]
