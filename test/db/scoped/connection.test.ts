import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import { type DatabaseKind, emptyDatabase, kindsOfThisRun, openTestDatabase } from '../../parts/database.js'
import { migrateAll } from '../../parts/migrate.js'

type Handle = ReturnType<OpenDatabase['forUser']>

/** One connection, so that the unscoped handle sees what a scoped one left in the session. */
async function openWithOneConnection(kind: DatabaseKind) {
  if (kind === 'embedded') return openTestDatabase(kind)
  const empty = await emptyDatabase()
  const database = await openDatabase({ url: empty.url, poolMax: 1 })
  await migrateAll(database.admin)
  return {
    ...database,
    async [Symbol.asyncDispose]() {
      await database.close()
      await empty[Symbol.asyncDispose]()
    },
  }
}

async function stateOf({ admin: db }: Pick<OpenDatabase, 'admin'>) {
  const { rows } = await sql`
    select current_user, session_user, current_setting('role') as role,
      coalesce(current_setting('app.user_id', true), '') as user_id,
      current_setting('statement_timeout') as statement_timeout,
      current_setting('transaction_isolation') as isolation, current_setting('transaction_read_only') as read_only,
      now() = statement_timestamp() as outside_transaction,
      (select count(*)::int from pg_prepared_statements where name not like 'trpc_bearer%') as prepared`.execute(
    db,
  )
  return rows[0]
}

const insert = (handle: Handle, user: string) =>
  handle.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'one', user_id: user }).execute()

describe.each(kindsOfThisRun)('the connection of a scoped handle on %s', kind => {
  let database: Awaited<ReturnType<typeof openWithOneConnection>>
  beforeAll(async () => {
    database = await openWithOneConnection(kind)
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each<[string, (alice: Handle) => Promise<unknown>]>([
    ['a statement', alice => alice.selectFrom('tasks').selectAll().execute()],
    ['a write', alice => insert(alice, 'alice')],
    ['a statement without values', alice => sql`select 1`.execute(alice)],
    ['a transaction', alice => alice.transaction().execute(trx => insert(trx, 'alice'))],
    [
      'a transaction that was read only and serializable',
      alice =>
        alice
          .transaction()
          .setIsolationLevel('serializable')
          .setAccessMode('read only')
          .execute(trx => trx.selectFrom('tasks').selectAll().execute()),
    ],
    [
      'a savepoint that was rolled back',
      async alice => {
        const trx = await alice.startTransaction().execute()
        const inside = await trx.savepoint('a').execute()
        await insert(inside, 'bob').catch(() => {})
        const back = await inside.rollbackToSavepoint('a').execute()
        await back.commit().execute()
      },
    ],
  ])('is unchanged after %s', async (_, run) => {
    const before = await stateOf(database)
    await run(database.forUser('alice'))
    expect(await stateOf(database)).toEqual(before)
  })

  test.each<[string, (alice: Handle) => Promise<unknown>]>([
    ['a statement that fails', alice => sql`select 1 / 0`.execute(alice)],
    [
      'a statement that fails after some rows',
      alice => sql`select 1 / (5 - i) from generate_series(1, 9) i`.execute(alice),
    ],
    ['a statement that cannot be parsed', alice => sql`selec 1`.execute(alice)],
    ['a statement with a value of the wrong type', alice => sql`select ${'x'}::int`.execute(alice)],
    ['a statement that is refused', alice => insert(alice, 'bob')],
    ['an empty statement', alice => sql``.execute(alice)],
    ['two statements in one', alice => sql`select 1; reset role`.execute(alice)],
    ['a savepoint that does not exist', alice => sql`rollback to nowhere`.execute(alice)],
    ['a transaction that fails', alice => alice.transaction().execute(trx => sql`select 1 / 0`.execute(trx))],
    [
      'a transaction whose function throws',
      alice =>
        alice.transaction().execute(() => {
          throw new Error('Changed my mind')
        }),
    ],
    [
      'a transaction that cannot be committed',
      alice =>
        alice.transaction().execute(async trx => {
          await sql`select 1 / 0`.execute(trx).catch(() => {})
        }),
    ],
    [
      'an invalid isolation level',
      alice =>
        alice.transaction().execute(trx => sql`set transaction isolation level read committed`.execute(trx)),
    ],
  ])('is unchanged after %s, and serves the next user', async (_, run) => {
    const before = await stateOf(database)
    await run(database.forUser('alice')).catch(() => {})
    expect(await stateOf(database)).toEqual(before)
    const { rows } = await sql`select trpc_bearer.user_id() as id, current_user as role`.execute(
      database.forUser('bob'),
    )
    expect(rows).toEqual([{ id: 'bob', role: 'app_user' }])
    expect(database.pool()).toMatchObject({ waiting: 0 })
  })
})

describe('a scoped statement that takes too long on PostgreSQL', () => {
  test('is cancelled, alone and in a transaction, and leaves no time limit behind', async () => {
    await using empty = await emptyDatabase()
    const database = await openDatabase({ url: empty.url, poolMax: 1, statementTimeout: 0.2 })
    try {
      await migrateAll(database.admin)
      const before = await stateOf(database)
      const alice = database.forUser('alice')
      const wait = (handle: Handle) => sql`select pg_sleep(60)`.execute(handle)
      await expect(wait(alice)).rejects.toMatchObject({ code: '57014' })
      await expect(alice.transaction().execute(wait)).rejects.toMatchObject({ code: '57014' })
      expect(await stateOf(database)).toEqual(before)
      const { rows } = await sql`select pg_sleep(0.4), 'slept' as state`.execute(database.admin)
      expect(rows).toMatchObject([{ state: 'slept' }])
    } finally {
      await database.close()
    }
  })
})

test('a full batch of statements with one signal does not warn of a listener leak', async () => {
  await using database = await openWithOneConnection('PostgreSQL')
  const warnings: Error[] = []
  const collect = (warning: Error) => warnings.push(warning)
  process.on('warning', collect)
  try {
    const alice = database.forUser('alice', { signal: new AbortController().signal })
    await Promise.all(Array.from({ length: 100 }, () => sql`select 1`.execute(alice)))
    await new Promise(setImmediate)
    expect(warnings).toEqual([])
  } finally {
    process.off('warning', collect)
  }
})

describe('an error in the statement itself is not an outage, and keeps the connection', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    await sql`
      create function fail(code text, message text) returns int language plpgsql as $$
      begin raise exception '%', message using errcode = code; end $$`.execute(database.admin)
  })
  afterAll(() => database[Symbol.asyncDispose]())

  const fail = (code: string, message = 'no') => sql`select fail(${code}, ${message})`
  const pidOf = async () => (await sql`select pg_backend_pid()`.execute(database.admin)).rows

  test.each([
    ['raised with the code of a server that stops', '57P01', fail('57P01')],
    ['raised with the code of a lost connection', '08006', fail('08006')],
    ['raised with the code of a server without memory', '53200', fail('53200')],
    [
      'raised with the message of our missing schema',
      '3F000',
      fail('3F000', 'schema "trpc_bearer" does not exist'),
    ],
    ['another number of values than placeholders', '08P01', sql`select ${sql.raw('$1')}::int`],
  ])('%s', async (_, code, statement) => {
    const pid = await pidOf()
    const alice = database.forUser('alice')
    const failed = { name: 'error', code }
    await expect(statement.execute(alice)).rejects.toMatchObject(failed)
    const call = alice.transaction().execute(trx => statement.execute(trx))
    await expect(call).rejects.toMatchObject(failed)
    expect(await pidOf()).toEqual(pid)
  })
})
