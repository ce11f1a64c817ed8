import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { openTestDatabase } from '../../parts/database.js'
import { sessionStateQuery } from '../../parts/session-state.js'

type Handle = ReturnType<Awaited<ReturnType<typeof openTestDatabase>>['forUser']>

const columns = "user_id, current_user::text as role, current_setting('app.mark', true) as mark"
/** Some are harmless, and some need a transaction and a cleanup, fail or make a table. */
const statements = [
  `select ${columns} from tasks`,
  `update tasks set notes = notes returning ${columns}`,
  `select ${columns} from tasks where pg_sleep(0) is not null`,
  "select user_id, current_user::text as role, set_config('app.mark', user_id, false) as mark from tasks",
  `select ${columns}, pg_advisory_lock(7) from tasks`,
  `select ${columns}, 1 / (random() * 0)::int from tasks`,
  `select ${columns} into temp tasks_copy from tasks`,
]

/** Numbers from 0 to below a limit, the same for the same seed. */
function randomNumbers(seed: number) {
  let state = seed
  return (limit: number) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff
    return state % limit
  }
}

interface Row {
  user_id: string
  role: string
  mark: string | null
}

/** Calls of one person: queries and streams, in transactions and on kept connections, awaited or not, aborted, failed and left. */
async function* randomCalls(forUser: (signal: AbortSignal) => Handle, random: (limit: number) => number) {
  const pause = async () => {
    const kind = random(3)
    if (kind === 0) for (let turn = random(30); turn > 0; turn--) await null
    else await sleep(kind === 1 ? 0 : random(4))
  }
  for (;;) {
    const gone = new AbortController()
    const handle = forUser(gone.signal)
    const rows: Row[] = []
    const started: Promise<unknown>[] = []
    const call = async (on: Handle) => {
      const text = statements[random(statements.length)] ?? ''
      if (random(2) === 0) return void rows.push(...(await sql.raw<Row>(text).execute(on)).rows)
      const query = sql.raw<Row>(text).compile(on)
      let chunks = random(5)
      for await (const chunk of on.getExecutor().stream(query, 1 + random(3))) {
        rows.push(...chunk.rows)
        if (chunks-- === 0) return
        if (random(3) === 0) await pause()
      }
    }
    const calls = async (on: Handle) => {
      for (let n = random(4); n >= 0; n--) {
        const running = call(on)
        running.catch(() => {})
        started.push(running)
        if (random(2) === 0) await running
        else await pause()
        if (random(12) === 0) gone.abort(new Error('gone'))
        if (random(9) === 0) throw new Error('Changed my mind')
      }
    }
    const inTransaction = (on: Handle) => on.transaction().execute(calls)
    const ways = [
      () => call(handle),
      () => inTransaction(handle),
      () => handle.connection().execute(calls),
      () =>
        handle.connection().execute(async connection => {
          await inTransaction(connection).catch(() => {})
          await calls(connection)
          await inTransaction(connection)
        }),
      async () => {
        const trx = await handle.startTransaction().execute()
        try {
          await calls(trx)
          const inside = await trx.savepoint('inside').execute()
          await calls(inside)
          if (random(2) === 0) await inside.rollbackToSavepoint('inside').execute()
        } finally {
          const rollback = () => trx.rollback().execute()
          await (random(2) === 0 ? trx.commit().execute().catch(rollback) : rollback())
        }
      },
    ]
    await ways[random(ways.length)]?.().catch(() => {})
    await Promise.allSettled(started)
    yield rows
  }
}

test.each([1, 2, 3, 4])(
  'two people who call at random on one connection see only their own rows: seed %i',
  async seed => {
    await using database = await openTestDatabase('PostgreSQL', {
      poolMax: 1,
      statementTimeout: 2,
      connectTimeout: 60,
    })
    const people = ['alice', 'bob']
    for (const user of people)
      for (let n = 0; n < 3; n++)
        await database
          .forUser(user)
          .insertInto('tasks')
          .values({ id: crypto.randomUUID(), title: user })
          .execute()
    const until = Date.now() + 5_000
    const person = async (user: string, random: (limit: number) => number) => {
      const seen: Row[] = []
      for await (const rows of randomCalls(signal => database.forUser(user, { signal }), random)) {
        seen.push(...rows)
        if (Date.now() > until) return seen
      }
      return seen
    }
    const seen = await Promise.all(
      people.map((user, index) => person(user, randomNumbers(seed * 10 + index))),
    )
    for (const [index, rows] of seen.entries()) {
      const user = people[index] ?? ''
      const wrong = rows.filter(
        row => row.user_id !== user || row.role !== 'app_user' || ![null, '', user].includes(row.mark),
      )
      expect(wrong).toEqual([])
      expect(rows.length).toBeGreaterThan(50)
    }
    const { rows: left } = await sql.raw<{ left_behind: string[] }>(sessionStateQuery).execute(database.admin)
    expect(left[0]?.left_behind).toEqual([])
  },
)
