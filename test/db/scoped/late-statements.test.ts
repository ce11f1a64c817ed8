import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { protectTable } from '../../../db/index.js'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'

type Handle = ReturnType<Awaited<ReturnType<typeof openTestDatabase>>['forUser']>

/** Changes every row that it sees. */
const touch = async (handle: Handle) => {
  const { rows } = await sql<{ title: string }>`update tasks set notes = 'touched' returning title`.execute(
    handle,
  )
  return rows.map(row => row.title)
}

const turns = async (count: number) => {
  for (let n = 0; n < count; n++) await null
}

// A statement that nobody awaits may be sent at any moment: after so many turns of the microtask queue.
const moments = [0, 1, 2, 3, 4, 5, 6, 8, 12, 20, 40]

describe.each(kindsOfThisRun)('a statement that is not awaited, on one connection of %s,', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  let alice: Handle
  let bob: Handle
  const late: Promise<string[]>[] = []
  beforeAll(async () => {
    database = await openTestDatabase(kind, { poolMax: 1 })
    alice = database.forUser('alice')
    bob = database.forUser('bob')
    for (const [handle, title] of [
      [alice, 'hers'],
      [bob, 'his'],
    ] as const)
      await handle.insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(async () => {
    late.length = 0
    await sql`update tasks set notes = ''`.execute(alice)
  })

  /** Sends a statement that nobody awaits, so many turns after the previous one was answered. */
  const sendLate = (trx: Handle, count: number, before: Promise<unknown> = sql`select 1`.execute(trx)) => {
    const sent = before.then(() => turns(count)).then(() => touch(trx))
    sent.catch(() => {})
    late.push(sent)
  }

  const ends: [name: string, run: (trx: Handle, count: number) => Promise<unknown>][] = [
    ['at the end of its transaction', async (trx, count) => sendLate(trx, count)],
    [
      'at the end of a transaction that needs cleaning',
      async (trx, count) => {
        await sql`select pg_sleep(0)`.execute(trx)
        sendLate(trx, count, Promise.resolve())
      },
    ],
    [
      'at the end of a transaction that is rolled back',
      async (trx, count) => {
        sendLate(trx, count)
        throw new Error('Changed my mind')
      },
    ],
    [
      'beside a statement that fails',
      async (trx, count) => {
        sendLate(trx, count)
        await sql`select 1 / 0`.execute(trx)
      },
    ],
  ]
  test.each(ends)(
    '%s changes only the rows of its caller, inside the transaction or not at all',
    async (_, run) => {
      for (const count of moments)
        await alice
          .transaction()
          .execute(trx => run(trx, count))
          .catch(() => {})
      const answers = await Promise.allSettled(late)
      for (const answer of answers)
        if (answer.status === 'fulfilled') expect(answer.value).toEqual(['hers'])
        else
          expect(answer.reason).toEqual(
            expect.objectContaining({ message: expect.stringMatching(/ended|already|aborted/) }),
          )
      expect(await bob.selectFrom('tasks').select(['title', 'notes']).execute()).toEqual([
        { title: 'his', notes: '' },
      ])
    },
  )

  test('on a kept connection runs as its caller at every moment', async () => {
    for (const count of moments) {
      const answers = await alice
        .connection()
        .execute(connection =>
          Promise.all([
            sql`select pg_sleep(0)`.execute(connection),
            turns(count).then(() => touch(connection)),
          ]),
        )
      expect(answers[1]).toEqual(['hers'])
    }
    expect(await bob.selectFrom('tasks').select('notes').execute()).toEqual([{ notes: '' }])
  })

  /** Who reads which rows, by a stream. */
  const readAll = async (handle: Handle) => {
    const query = handle.selectFrom('tasks').select(['title', sql<string>`current_user`.as('role')])
    const rows = []
    for await (const row of query.stream(2)) rows.push(row)
    return rows
  }
  const streamEnds: [name: string, run: (start: (handle: Handle) => Promise<unknown>) => Promise<unknown>][] =
    [
      [
        'whose transaction on a kept connection is rolled back',
        start =>
          alice.connection().execute(async connection => {
            await connection
              .transaction()
              .execute(trx => Promise.all([sql`select 1 / 0`.execute(trx), start(trx)]))
              .catch(() => {})
            await Promise.allSettled(streams)
          }),
      ],
      [
        'whose transaction on a kept connection is committed',
        start =>
          alice.connection().execute(async connection => {
            await connection.transaction().execute(async trx => void start(trx))
            await Promise.allSettled(streams)
          }),
      ],
      [
        'whose transaction needs cleaning and is committed',
        start =>
          alice.transaction().execute(async trx => {
            await sql`select pg_sleep(0)`.execute(trx)
            void start(trx)
          }),
      ],
    ]
  const streams: Promise<{ title: string; role: string }[]>[] = []
  test.each(streamEnds)('a stream %s reads as its caller, or is refused', async (_, run) => {
    streams.length = 0
    for (const count of moments)
      await run(trx => {
        const read = turns(count).then(() => readAll(trx))
        read.catch(() => {})
        streams.push(read)
        return read
      }).catch(() => {})
    for (const answer of await Promise.allSettled(streams))
      if (answer.status === 'fulfilled') expect(answer.value).toEqual([{ title: 'hers', role: 'app_user' }])
  })

  test('after the release of its connection is refused', async () => {
    const kept: Handle[] = []
    await alice.connection().execute(async connection => {
      kept.push(connection)
      await sql`select 1`.execute(connection)
    })
    await bob.transaction().execute(async trx => {
      for (const connection of kept) await expect(touch(connection)).rejects.toThrow('has ended')
      expect(await touch(trx)).toEqual(['his'])
    })
    expect(await alice.selectFrom('tasks').select('notes').execute()).toEqual([{ notes: '' }])
  })
})

test('a stream that is left open on a kept connection ends with it', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  await database
    .forUser('alice')
    .connection()
    .execute(async connection => {
      const numbers = sql<{ n: number }>`generate_series(1, 1000)`.as<'n'>('n')
      const stream = connection.selectFrom(numbers).selectAll().stream(2)
      await stream.next()
    })
  const { rows } = await sql`select 1 as one`.execute(database.forUser('bob'))
  expect(rows).toEqual([{ one: 1 }])
})

test('a stream that needs cleaning and whose commit fails does not block the next statement of its connection', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const run = (statement: string) => sql.raw(statement).execute(database.admin)
  await run(`create table pairs (
    user_id text, id int, twin int, primary key (user_id, id),
    foreign key (user_id, twin) references pairs (user_id, id) deferrable initially deferred
  )`)
  await protectTable(database.admin, 'pairs')
  await database
    .forUser('alice')
    .connection()
    .execute(async connection => {
      const stream = async () => {
        const query = sql`insert into pairs (id, twin) values (1, 2) returning pg_sleep(0)`.compile(
          connection,
        )
        for await (const _ of connection.getExecutor().stream(query, 5));
      }
      await expect(stream()).rejects.toMatchObject({ code: '23503' })
      expect(await touch(connection)).toEqual([])
    })
  expect(database.pool()).toEqual({ total: 1, idle: 1, waiting: 0 })
})

test('the reader of a stream gets the error of a type parser', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const parse = pg.types.getTypeParser(pg.types.builtins.MONEY)
  pg.types.setTypeParser(pg.types.builtins.MONEY, () => {
    throw new RangeError('No price.')
  })
  try {
    const prices = async () => {
      const query = sql<object>`select 1::money as price`.compile(database.forUser('alice'))
      for await (const _ of database.forUser('alice').getExecutor().stream(query, 5));
    }
    await expect(prices()).rejects.toThrow(RangeError)
  } finally {
    pg.types.setTypeParser(pg.types.builtins.MONEY, parse)
  }
  expect(await touch(database.forUser('bob'))).toEqual([])
})
