import { createHash } from 'node:crypto'
import pg from 'pg'
import { LruMap } from '../../shared/lru-map.js'
import type { RowReader } from '../wire/rows.js'
import { refuseConditionalUpsert, requireQuery } from './allowed-statements.js'
import { mayCreateTable, mayLeaveBehind, wordsOf } from './session-cleanup.js'
import type { SessionFacts } from './session-facts.js'

/** What is known about a statement from its text. */
export interface StatementInfo {
  /** Name under which it is prepared on each connection. Undefined if it is not prepared. */
  name: string | undefined
  /** It may leave something in the session, so the session is cleaned after it. */
  mayLeaveBehind: boolean
  /** Cleaning is not enough after it: the connection is destroyed. */
  endsConnection: boolean
  /** The same if it fails. If it succeeds, the answer tells whether it has created a table. */
  endsConnectionIfItFails: boolean
  /** A cursor can be declared for it. */
  hasCursor: boolean
  /** Reads its rows. Set by the first execution. */
  reader?: RowReader
}

/** Options of {@link createStatementCache}. */
export interface StatementCacheOptions {
  /** Whether to prepare statements that are repeated. */
  prepare: () => boolean
  /** The identity is signed, so no statement may show rows of other users. */
  isSigned: boolean
  /** Returns the current facts: the same object while nothing has changed. */
  facts: () => SessionFacts
}

interface Entry extends StatementInfo {
  keyword: string
  /** The facts that it was judged by. */
  facts: SessionFacts
  isRepeated: boolean
}

const maxStatements = 1_000
/** Of all texts together. The text of a bulk insert may have 450,000. */
const maxCharacters = 2_000_000
const maxNames = 500
/** The server keeps a prepared text on each connection. */
const maxPrepared = 20_000

/**
 * Returns a function that inspects a statement by its text. A text that comes a second time gets a name, so that the server parses
 * it once per connection; at most 500 texts of up to 20,000 characters, because a server keeps them until the connection ends.
 *
 * @throws StatementRefusedError (the returned function) if the text is not a query, or an upsert with a condition while the identity is signed
 */
export function createStatementCache({
  prepare,
  isSigned,
  facts,
}: StatementCacheOptions): (text: string) => StatementInfo {
  const cache = new LruMap<string, Entry>({
    maxEntries: maxStatements,
    maxSize: maxCharacters,
    sizeOf: text => text.length,
  })
  const names = new Set<string>()
  /** A text that has left the cache gets the name back that it had. */
  const nameOf = (text: string) => {
    if (text.length > maxPrepared) return undefined
    const name = statementName(text)
    if (!names.has(name) && names.size === maxNames) return undefined
    names.add(name)
    return name
  }
  return text => {
    const current = facts()
    const cached = cache.get(text)
    if (cached === undefined) {
      const keyword = requireQuery(text)
      if (isSigned) refuseConditionalUpsert(text)
      const info = {
        name: undefined,
        isRepeated: false,
        keyword,
        hasCursor: hasCursor(text, keyword),
        ...classify(text, keyword, current),
      }
      cache.set(text, info)
      return info
    }
    if (cached.facts !== current) Object.assign(cached, classify(text, cached.keyword, current))
    if (!prepare()) cached.name = undefined
    else if (!cached.isRepeated) Object.assign(cached, { isRepeated: true, name: nameOf(text) })
    return cached
  }
}

/**
 * The name of a prepared statement. It follows from the text, because behind a pooler that does not know prepared statements another
 * process may have given the same name to its own.
 */
export const statementName = (text: string) =>
  `trpc_bearer_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`

function classify(text: string, keyword: string, facts: SessionFacts) {
  const isUnclean = facts.hasSideEffects || mayLeaveBehind(text, facts.functions)
  // A temporary table may have changed what a function means that was parsed beside it, even if the statement has failed.
  const mayCreate = mayCreateTable(text)
  return {
    mayLeaveBehind: isUnclean,
    // The answer to EXPLAIN does not tell what it has created.
    endsConnection: (isUnclean && facts.parsesUnderSettings) || (mayCreate && keyword === 'explain'),
    endsConnectionIfItFails: mayCreate,
    facts,
  }
}

const changes = ['insert', 'update', 'delete', 'merge']

/** PostgreSQL has cursors for statements that only read. */
function hasCursor(text: string, keyword: string): boolean {
  if (keyword !== 'with') return ['select', 'values', 'table'].includes(keyword) && !mayCreateTable(text)
  const words = wordsOf(text)
  return !changes.some(word => words.has(word)) && !mayCreateTable(text)
}

/** True if a prepared statement does not exist (26000) or does already (42P05), or now returns other columns (0A000). It has not run. */
export const isStalePlan = (error: unknown) =>
  error instanceof pg.DatabaseError &&
  // A statement inside a function has run a part of it.
  error.where === undefined &&
  (isNameError(error) || (error.code === '0A000' && error.routine === 'RevalidateCachedQuery'))

/** True if the session is another one than the one in which the name was given: a pooler does not know names. */
export const isNameError = (error: unknown) =>
  error instanceof pg.DatabaseError && error.where === undefined && /^(26000|42P05)$/.test(error.code ?? '')

/** True if types or values of a statement do not fit: a mistake, or a prepared statement whose column has another type since. */
export const isTypeMismatch = (error: unknown) =>
  error instanceof pg.DatabaseError && mismatchCodes.has(error.code ?? '')

const mismatchCodes = new Set(['42804', '42883', '22P02', '22003', '22007'])
