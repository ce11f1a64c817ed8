import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { protectTable } from '../../../db/index.js'
import { watchAnswerPieces } from '../../parts/answer-pieces.js'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'
import { someOf } from '../../parts/some-of.js'

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

describe('a transaction that is rolled back, on one connection,', () => {
  const open = async () => {
    const database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    const alice = database.forUser('alice')
    const all = async () => (await alice.selectFrom('tasks').select('title').execute()).map(row => row.title)
    return { ...database, alice, all }
  }
  const insert = (handle: Handle, title: string) =>
    handle.insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()
  const changedMind = new Error('Changed my mind')

  const beginnings: [name: string, run: (trx: Handle) => unknown][] = [
    ['before its first statement', () => {}],
    ['after a statement', trx => sql`select 1`.execute(trx)],
    ['after a failed one', trx => sql`select 1 / 0`.execute(trx).catch(() => {})],
    ['beside its first statement', trx => void sql`select 1`.execute(trx).catch(() => {})],
  ]
  test.each(beginnings)('keeps no statement that arrives at any moment of its end, %s', async (_, run) => {
    const pieces = watchAnswerPieces()
    await using database = await open()
    const { alice, all } = database
    for (const piece of someOf([0, 1, 2, 3], 2)) {
      for (let turn = 0; turn < 16; turn++) {
        let late: Promise<unknown> = Promise.resolve()
        const call = alice.transaction().execute(async trx => {
          await run(trx)
          late = pieces.after(piece, turn).then(() => insert(trx, 'late'))
          late.catch(() => {})
          throw changedMind
        })
        await Promise.allSettled([call, late])
      }
    }
    expect(await all()).toEqual([])
  })

  test('is followed at once by the next statement of its connection, or the next transaction', async () => {
    await using database = await open()
    const { alice, all } = database
    const fail = (connection: Handle) =>
      connection.transaction().execute(async () => {
        throw changedMind
      })
    await alice.connection().execute(async connection => {
      await fail(connection).catch(() => insert(connection, 'in catch'))
      await Promise.all([fail(connection).catch(() => {}), insert(connection, 'beside it')])
      await connection.transaction().execute(trx => insert(trx, 'in another'))
      await insert(connection, 'after it')
      const trx = await connection.startTransaction().execute()
      const queued = insert(connection, 'queued')
      await trx.rollback().execute()
      await queued
    })
    expect((await all()).toSorted()).toEqual(['after it', 'beside it', 'in another', 'in catch', 'queued'])
  })

  test('keeps no statement that fails because of it', async () => {
    await using database = await open()
    const { alice, all } = database
    const copy = (handle: Handle) =>
      sql`
        insert into tasks (id, title) select gen_random_uuid(), 'copy ' || sum(title::int)
        from tasks where title !~ '^copy' and (select count(*) from generate_series(1, 300000) n where n > 0) > 0`.execute(
        handle,
      )
    await insert(alice, '1')
    // From the second time on it has a name, and would be sent again if a value does not fit its type.
    for (let n = 0; n < 3; n++) await copy(alice)
    await sql`delete from tasks where title like 'copy%'`.execute(alice)
    let copied: Promise<unknown> = Promise.resolve()
    const call = alice.transaction().execute(async trx => {
      await insert(trx, 'abc')
      copied = copy(trx)
      copied.catch(() => {})
      throw changedMind
    })
    await expect(call).rejects.toBe(changedMind)
    await expect(copied).rejects.toMatchObject({ code: '22P02' })
    expect(await all()).toEqual(['1'])
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

describe('a first statement that nobody awaits, and whose name is not valid any more', () => {
  test.each(['statement', 'stream'])('never runs after its transaction was rolled back: a %s', async kind => {
    await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    const alice = database.forUser('alice')
    const insert = (db: Handle) =>
      db.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'late' }).returning('id')
    for (let count = 0; count < 30; count++) {
      for (let n = 0; n < 2; n++) await insert(alice).execute()
      await database.admin.deleteFrom('tasks').execute()
      await sql`deallocate all`.execute(database.admin)
      await alice.connection().execute(async connection => {
        let late: Promise<unknown> | undefined
        const rolledBack = connection.transaction().execute(async trx => {
          late = kind === 'stream' ? insert(trx).stream(1).next() : insert(trx).execute()
          late.catch(() => {})
          await turns(count)
          throw new Error('changed my mind')
        })
        await expect(rolledBack).rejects.toThrow('changed my mind')
        // The next transaction must not commit it either.
        const next = connection.transaction().execute(trx => sql`select 1`.execute(trx))
        await Promise.allSettled([next, late])
      })
      expect(await database.admin.selectFrom('tasks').selectAll().execute()).toEqual([])
    }
  })
})
