import { sql } from 'kysely'
import type { OpenDatabase, openDatabase } from '../../db/index.js'
import type { watchAnswerPieces } from './answer-pieces.js'
import { sessionStateQuery } from './session-state.js'

type Handle = ReturnType<OpenDatabase['forUser']>

const touch = (handle: Handle) => sql`update tasks set notes = 'alice'`.execute(handle)
/** Calls a function that is not known to be harmless, so it gets a transaction and a cleanup. */
const touchUncleanly = (handle: Handle) =>
  sql`update tasks set notes = 'alice' where pg_sleep(0) is not null`.execute(handle)

async function stream(handle: Handle, text: string) {
  const query = sql.raw<object>(text).compile(handle)
  for await (const _ of handle.getExecutor().stream(query, 1));
}

/** Work that alice starts on a connection without waiting for it. */
export const paths: readonly (readonly [name: string, start: (alice: Handle) => Promise<unknown>])[] = [
  ['a statement', touch],
  ['a statement in its own transaction', touchUncleanly],
  [
    'two statements, of which one fails',
    alice => Promise.all([sql`select 1 / 0`.execute(alice), touchUncleanly(alice)]),
  ],
  ['a statement behind another', alice => touchUncleanly(alice).then(() => touch(alice))],
  ['a stream', alice => stream(alice, "update tasks set notes = 'alice' returning id")],
  [
    'a stream in its own transaction',
    alice => stream(alice, "update tasks set notes = 'alice' where pg_sleep(0) is not null returning id"),
  ],
  [
    'a transaction',
    async alice => {
      const trx = await alice.startTransaction().execute()
      await touch(trx)
      await trx.commit().execute()
    },
  ],
  [
    'a transaction that is rolled back',
    async alice => {
      const trx = await alice.startTransaction().execute()
      const inside = await trx.savepoint('inside').execute()
      await touchUncleanly(inside)
      await trx.rollback().execute()
    },
  ],
]

/** How she releases the connection in the middle of it. */
export const ends = ['returns', 'fails', 'aborts'] as const

/** Options of {@link findMixedUpUsers}. */
export interface Crossing {
  open: typeof openDatabase
  url: string
  moments: ReturnType<typeof watchAnswerPieces>
  /** Numbers of microtask turns to try after each piece of an answer. */
  turns: readonly number[]
}

/**
 * Lets alice release her connection at every moment of every path while bob updates all rows he sees on the same connection.
 * Yields each moment after which one has changed a row of the other, or left session state behind.
 */
export async function* findMixedUpUsers({
  open,
  url,
  moments,
  turns,
}: Crossing): AsyncGenerator<string, void> {
  const database = await open({ url, poolMax: 1 })
  const watcher = await open({ url, poolMax: 1 })
  const rows = async () => {
    const all = await sql<{ user_id: string; notes: string }>`
      select user_id, notes from tasks order by user_id`.execute(watcher.admin)
    return all.rows.map(({ user_id, notes }) => `${user_id}: ${notes}`).join(', ')
  }
  try {
    for (const user of ['alice', 'bob'])
      await database
        .forUser(user)
        .insertInto('tasks')
        .values({ id: crypto.randomUUID(), title: user })
        .execute()
    for (const [name, start] of paths) {
      for (const end of ends) {
        for (let pieces = 0, isOver = false; !isOver; pieces++) {
          for (const turn of turns) {
            await sql`update tasks set notes = ''`.execute(watcher.admin)
            const gone = new AbortController()
            const alice = database.forUser('alice', { signal: gone.signal })
            const started: Promise<unknown>[] = []
            const given = alice.connection().execute(async connection => {
              let hasEnded = false
              const work = start(connection).finally(() => {
                hasEnded = true
              })
              started.push(work.catch(() => {}))
              await moments.after(pieces, turn)
              isOver = hasEnded
              if (end === 'aborts') gone.abort(new Error('gone'))
              if (end !== 'returns') throw new Error('Changed my mind')
            })
            await given.catch(() => {})
            const failure = await sql`update tasks set notes = 'bob'`
              .execute(database.forUser('bob'))
              .then(() => null, String)
            await Promise.all(started)
            const seen = await rows()
            const { rows: left } = await sql
              .raw<{ left_behind: string[] }>(sessionStateQuery)
              .execute(database.admin)
            const isApart = /^alice: (alice)?, bob: bob$/.test(seen) && left[0]?.left_behind.length === 0
            if (isApart && failure === null) continue
            yield `${name} that ${end} after ${pieces} answers and ${turn} turns: ${seen}, ${left[0]?.left_behind}, ${failure}`
          }
        }
      }
    }
  } finally {
    await database.close()
    await watcher.close()
  }
}
