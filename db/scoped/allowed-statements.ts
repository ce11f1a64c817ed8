/** A statement that a scoped handle does not send. */
export class StatementRefusedError extends Error {
  override name = 'StatementRefusedError'
}

const queries = new Set(['select', 'insert', 'update', 'delete', 'merge', 'with', 'values', 'table'])

/**
 * Refuses what is not a query by its first keyword. PostgreSQL would obey the rest: `do $$ … reset role … $$`, `set role`,
 * `commit` inside a transaction, `deallocate` and `prepare` of a statement of ours all get out of the scope, or leave something
 * behind for the connection's next caller.
 *
 * @throws StatementRefusedError unless it begins with select, insert, update, delete, merge, with, values, table, or
 * explain of one of these; and for a text with NUL, at which the protocol ends it
 */
export function requireQuery(text: string): void {
  if (text.includes('\0'))
    throw new StatementRefusedError('A statement has NUL in its text: no name or value may have it.')
  const [keyword, rest] = firstWord(text)
  if (queries.has(keyword) || (keyword === 'explain' && queries.has(explained(rest)))) return
  throw new StatementRefusedError(
    `A scoped handle sends queries only (${[...queries].join(', ')}, explain): use the unscoped one in a migration.`,
  )
}

const maxValues = 65_535

/**
 * Refuses more values than the protocol counts in a message (PostgreSQL manual, 55.7, Bind).
 *
 * @throws StatementRefusedError for more than 65,535
 */
export function requireFewValues({ length }: readonly unknown[]): void {
  if (length > maxValues)
    throw new StatementRefusedError(
      `A statement has ${length} values, and ${maxValues} at most are sent: split it.`,
    )
}

const maxChunkSize = 2 ** 31 - 1

/**
 * Refuses a number of rows that the protocol does not count (PostgreSQL manual, 55.7, Execute).
 *
 * @throws StatementRefusedError unless it is a whole number from 1 to 2,147,483,647
 */
export function requireChunkSize(size: number): void {
  if (!(Number.isInteger(size) && size >= 1 && size <= maxChunkSize))
    throw new StatementRefusedError(`A stream fetches 1 to ${maxChunkSize} rows at a time, and not ${size}.`)
}

/** White space, comments (they nest) and opening brackets, as PostgreSQL's scanner skips them. */
function skip(text: string, skipped: RegExp): string {
  let rest = text
  for (;;) {
    const before = rest
    rest = rest.replace(skipped, '').replace(/^--[^\n\r]*/, '')
    if (rest.startsWith('/*')) rest = rest.slice(endOfComment(rest))
    if (rest === before) return rest
  }
}

function endOfComment(text: string): number {
  const mark = /\/\*|\*\//g
  let depth = 0
  for (let found = mark.exec(text); found !== null; found = mark.exec(text)) {
    depth += found[0] === '/*' ? 1 : -1
    if (depth === 0) return mark.lastIndex
  }
  return text.length
}

function firstWord(text: string, skipped = /^[ \t\n\r\f\v(]+/): [word: string, rest: string] {
  const rest = skip(text, skipped)
  const [word = ''] = /^[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/i.exec(rest) ?? []
  return [word.toLowerCase(), rest.slice(word.length)]
}

/** The keyword of what `explain` explains: behind a list of options in brackets, or behind `analyze` and `verbose`. */
function explained(text: string): string {
  const [keyword, rest] = firstWord(text)
  if (queries.has(keyword)) return keyword
  const space = /^[ \t\n\r\f\v]+/
  if (skip(text, space).startsWith('(')) {
    const options = rest.slice(0, rest.indexOf(')') + 1)
    // A bracket in a comment or a text is none.
    return /--|\/\*|'|"/.test(options) ? '' : firstWord(rest.slice(options.length))[0]
  }
  return keyword === 'analyze' || keyword === 'analyse' || keyword === 'verbose' ? explained(rest) : keyword
}
