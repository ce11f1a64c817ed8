/** All words of a text of ASCII letters, in lower case: names, keywords, and words in strings and comments. */
export const wordsOf = (text: string) => new Set(text.toLowerCase().match(/[a-z_][\w$]*/g))

/**
 * True unless a query certainly leaves nothing in the session: no setting, no lock, no temporary table. It looks for names of functions
 * anywhere, so a name in a string counts too.
 *
 * @param functions names of functions that may leave something: of ASCII letters, in lower case
 */
export function mayLeaveBehind(text: string, functions: ReadonlySet<string>): boolean {
  return mayCreateTable(text) || mentions(text, functions)
}

/** The start of a writing statement. PostgreSQL allows no SELECT INTO in it. */
const writeTarget = /^\s*(insert\s+into|merge\s+into|update|delete)\b/i

/** True unless a query certainly creates no table (`select … into`). */
export const mayCreateTable = (text: string) => /\binto\b/i.test(text) && !writeTarget.test(text)

function mentions(text: string, functions: ReadonlySet<string>): boolean {
  // A name with escapes.
  if (/u&"/i.test(text)) return true
  const words = wordsOf(text)
  // PostgreSQL cuts a longer name to 63 bytes. An update of the view pg_settings changes a setting.
  for (const word of words) if (functions.has(word) || word === 'pg_settings' || word.length > 63) return true
  return false
}

/**
 * Words of a function that changes the session, or that runs a text which may. PostgreSQL creates a table in the temporary schema if the caller
 * has no other schema of the search path.
 */
const bodyCommands =
  /pg_settings|\b(create|temp|temporary|pg_temp|set_config|execute|prepare|deallocate|listen|unlisten|discard|reset|load|lock|hold)\b|\bdo\b(?!\s+(update|nothing|instead|also)\b)|(^|;|>|\bbegin|\bthen|\belse|\bloop)\s*set\b/i

/**
 * True unless the source of a function certainly leaves nothing in the session.
 *
 * @param functions as for {@link mayLeaveBehind}
 */
export function bodyMayLeaveBehind(source: string, functions: ReadonlySet<string>): boolean {
  const body = withoutComments(source)
  return body === undefined || bodyCommands.test(body) || mentions(body, functions)
}

/** Strings, quoted names and comments, from left to right. */
const lexemes =
  /'[^']*'|"[^"]*"|\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$[\s\S]*?\$\1\$|--[^\n\r]*|\/\*[\s\S]*?\*\//g

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
  // Not seeded by random(), which continues from the seed that a caller set. A seed has 52 bits.
  `select setseed(('x' || left(md5(gen_random_uuid()::text), 13))::bit(52)::bigint / 2::float8 ^ 52)`,
  deallocatePrepared,
]
