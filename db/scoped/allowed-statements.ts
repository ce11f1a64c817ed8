/** Thrown for a statement that a scoped handle does not send. */
export class StatementRefusedError extends Error {
  override name = 'StatementRefusedError'
}

const queries = new Set(['select', 'insert', 'update', 'delete', 'merge', 'with', 'values', 'table'])

/**
 * Refuses a statement whose first keyword is not one of a query. Others, such as `set role`, `do`, `commit` or `deallocate`, could
 * end the identity or leave something behind for the next caller.
 *
 * @throws StatementRefusedError unless it begins with select, insert, update, delete, merge, with, values, table, or
 * explain of one of these, and if it contains NUL, where the protocol would cut it off
 */
export function requireQuery(text: string): void {
  if (text.includes('\0'))
    throw new StatementRefusedError('The text of the statement contains a NUL character: remove it.')
  const [keyword, rest] = firstWord(text)
  if (queries.has(keyword) || (keyword === 'explain' && queries.has(explainedKeyword(rest)))) return
  throw new StatementRefusedError(
    `A scoped handle sends only queries (${[...queries].join(', ')}, and explain of these): use database.admin for other statements.`,
  )
}

/** A digit may stand before a keyword, a letter makes it a name. Keywords have ASCII letters only, and no escapes. */
const conditionalUpsert = ['conflict', 'do', 'update', 'set', 'where'].map(
  word => new RegExp(`(?<![a-z_\\u0080-\\uffff])${word}(?![\\w$\\u0080-\\uffff])`, 'i'),
)

/**
 * Refuses an upsert with a condition. PostgreSQL tries the condition on the row that is in the way before it checks the policy
 * (ExecOnConflictUpdate), so an error of the condition shows a row of another user whose key is equal.
 *
 * @throws StatementRefusedError if the keywords of `on conflict … do update set … where` follow each other in the text
 */
export function refuseConditionalUpsert(text: string): void {
  let rest = text
  for (const word of conditionalUpsert) {
    const found = word.exec(rest)
    if (found === null) return
    rest = rest.slice(found.index + found[0].length)
  }
  throw new StatementRefusedError(
    'With fenceSecret a scoped handle sends no "on conflict … do update … where": PostgreSQL tries the condition on rows of other users. Leave out the condition, or use an update.',
  )
}

const maxValues = 65_535

/**
 * Refuses more values than a Bind message can count (PostgreSQL manual, 55.7).
 *
 * @throws StatementRefusedError for more than 65,535 values
 */
export function requireValueCount({ length }: readonly unknown[]): void {
  if (length > maxValues)
    throw new StatementRefusedError(
      `The statement has ${length} values, but at most ${maxValues} can be sent: split it.`,
    )
}

const maxChunkSize = 2 ** 31 - 1

/**
 * Refuses a number of rows that an Execute message cannot carry (PostgreSQL manual, 55.7).
 *
 * @throws StatementRefusedError unless it is a whole number from 1 to 2,147,483,647
 */
export function requireChunkSize(size: number): void {
  if (!(Number.isInteger(size) && size >= 1 && size <= maxChunkSize))
    throw new StatementRefusedError(
      `The chunk size of a stream is ${size}: use a whole number from 1 to ${maxChunkSize}.`,
    )
}

/** Skips comments (they nest) and what the pattern matches, as PostgreSQL's scanner does. */
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
  const delimiter = /\/\*|\*\//g
  let depth = 0
  for (let found = delimiter.exec(text); found !== null; found = delimiter.exec(text)) {
    depth += found[0] === '/*' ? 1 : -1
    if (depth === 0) return delimiter.lastIndex
  }
  return text.length
}

function firstWord(text: string, skipped = /^[ \t\n\r\f\v(]+/): [word: string, rest: string] {
  const rest = skip(text, skipped)
  const [word = ''] = /^[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/i.exec(rest) ?? []
  return [word.toLowerCase(), rest.slice(word.length)]
}

/** Finds the keyword of the statement behind `explain`, its options in brackets, `analyze` and `verbose`. */
function explainedKeyword(text: string): string {
  const [keyword, rest] = firstWord(text)
  if (queries.has(keyword)) return keyword
  const space = /^[ \t\n\r\f\v]+/
  if (skip(text, space).startsWith('(')) {
    const options = rest.slice(0, rest.indexOf(')') + 1)
    // A bracket in a comment or a string does not close the list.
    return /--|\/\*|'|"/.test(options) ? '' : firstWord(rest.slice(options.length))[0]
  }
  return keyword === 'analyze' || keyword === 'analyse' || keyword === 'verbose'
    ? explainedKeyword(rest)
    : keyword
}
