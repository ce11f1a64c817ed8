import { wordsOf } from './session-cleanup.js'

/** Thrown for a statement that a scoped handle does not send. */
export class StatementRefusedError extends Error {
  override name = 'StatementRefusedError'
}

const queries = new Set(['select', 'insert', 'update', 'delete', 'merge', 'with', 'values', 'table'])

/** What EXPLAIN can run besides queries. A name or a text with such a word is refused too. */
const explained = ['create', 'execute', 'declare', 'refresh']

/**
 * Refuses a statement whose first keyword is not one of a query. Others, such as `set role`, `do`, `commit` or `deallocate`, could
 * end the identity or leave something behind for the next caller.
 *
 * @returns the keyword
 * @throws StatementRefusedError unless it begins with select, insert, update, delete, merge, with, values, table, or
 * explain of one of these, and if it contains NUL, where the protocol would cut it off
 */
export function requireQuery(text: string): string {
  if (text.includes('\0'))
    throw new StatementRefusedError('The text of the statement contains a NUL character: remove it.')
  const keyword = firstKeyword(text)
  if (queries.has(keyword) || (keyword === 'explain' && explainsQuery(wordsOf(text)))) return keyword
  throw new StatementRefusedError(
    `A scoped handle sends only queries (${[...queries].join(', ')}, and explain of these): use database.admin for other statements.`,
  )
}

const explainsQuery = (words: ReadonlySet<string>) =>
  [...queries].some(word => words.has(word)) && !explained.some(word => words.has(word))

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

/** The first word behind white space, brackets and comments, which nest, in lower case. */
function firstKeyword(text: string): string {
  let rest = text
  for (;;) {
    const before = rest
    rest = rest.replace(/^[ \t\n\r\f\v(]+|^--[^\n\r]*/, '')
    if (rest.startsWith('/*')) rest = rest.slice(endOfComment(rest))
    if (rest === before) break
  }
  return /^[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/i.exec(rest)?.[0].toLowerCase() ?? ''
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
