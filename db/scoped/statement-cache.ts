import pg from 'pg'
import { LruMap } from '../../shared/lru-map.js'
import type { RowReader } from '../wire/rows.js'
import { requireQuery } from './allowed-statements.js'
import { mayLeaveBehind } from './session-cleanup.js'
import type { SessionFacts } from './session-facts.js'

/** What is known of a statement by its text. */
export interface KnownStatement {
  /** Under which it is kept prepared on each connection; undefined where it is not. */
  name: string | undefined
  /** Session state may be left behind: the connection is cleaned after it. */
  mayLeaveBehind: boolean
  /** Cleaning is not enough: the connection ends with its caller. */
  endsConnection: boolean
  /** Reads its rows, from the first answer on. */
  reader?: RowReader
}

const maxStatements = 1_000
const maxNames = 500

/** Options of {@link createStatementCache}. */
export interface StatementCacheOptions {
  /** Keeps repeated statements prepared. */
  prepare: boolean
  facts: () => SessionFacts
}

/**
 * Judges each statement once by its text, and again when the database's functions change. A text that comes a second time gets a
 * name, so that the server parses it once a connection: five hundred at most, as a server keeps them until the connection ends.
 */
export function createStatementCache({
  prepare,
  facts,
}: StatementCacheOptions): (text: string) => KnownStatement {
  const known = new LruMap<string, KnownStatement & { judgedBy: SessionFacts }>({
    maxEntries: maxStatements,
  })
  let names = 0
  return text => {
    const judgedBy = facts()
    const seen = known.get(text)
    if (seen === undefined) {
      requireQuery(text)
      const statement = { name: undefined, ...judge(text, judgedBy) }
      known.set(text, statement)
      return statement
    }
    if (seen.judgedBy !== judgedBy) Object.assign(seen, judge(text, judgedBy))
    if (seen.name === undefined && prepare && names < maxNames) seen.name = `trpc_bearer_${++names}`
    return seen
  }
}

function judge(text: string, judgedBy: SessionFacts) {
  const isUnclean = mayLeaveBehind(text, judgedBy.volatileFunctions)
  return { mayLeaveBehind: isUnclean, endsConnection: isUnclean && judgedBy.hasBackslashes, judgedBy }
}

/** True where a prepared statement is not there any more (26000), or answers other columns than it did (0A000). */
export const isStalePlan = (error: unknown) =>
  error instanceof pg.DatabaseError &&
  ((error.code === '26000' && error.routine !== 'exec_stmt_raise') ||
    (error.code === '0A000' && error.routine === 'RevalidateCachedQuery'))

/** True where a statement has failed in the transaction, which takes nothing but its end. */
export const isAborted = (error: unknown) => error instanceof pg.DatabaseError && error.code === '25P02'
