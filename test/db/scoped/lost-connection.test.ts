import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { DatabaseUnavailableError, isDatabaseUnavailable } from '../../../db/errors.js'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { waitFor } from '../../parts/wait-for.js'

type Handle = OpenDatabase['admin']

const pidOf = async (handle: Handle) =>
  (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(handle)).rows[0]?.pid
const kill = (handle: Handle, pid = 0) => sql`select pg_terminate_backend(${pid}::int)`.execute(handle)
const sleep = (handle: Handle) => sql`select pg_sleep(60)`.execute(handle)

async function expectAnswers({ forUser }: Pick<OpenDatabase, 'forUser'>) {
  const alice = forUser('alice')
  const look = (handle: Handle) => handle.selectFrom('tasks').selectAll().execute()
  expect([await look(alice), await alice.transaction().execute(look)]).toEqual([[], []])
}

describe('a connection that PostgreSQL ends', () => {
  test.each<[string, (alice: Handle) => Promise<unknown>]>([
    ['the statement', sleep],
    ['the transaction', alice => alice.transaction().execute(sleep)],
  ])('is an outage for %s that was running, and the next one works', async (_, start) => {
    await using database = await openTestDatabase('PostgreSQL')
    const failure = start(database.forUser('alice')).catch(error => error)
    const pid = await waitFor(async () => {
      const { rows } = await sql<{ pid: number }>`
        select pid from pg_stat_activity
        where datname = current_database() and query = 'select pg_sleep(60)' and state = 'active'
      `.execute(database.admin)
      expect(rows).toHaveLength(1)
      return rows[0]?.pid
    })
    await kill(database.admin, pid)
    expect(isDatabaseUnavailable(await failure)).toBe(true)
    await expectAnswers(database)
  })

  test('is an outage for the rest of a transaction', async () => {
    await using database = await openTestDatabase('PostgreSQL')
    const call = database
      .forUser('alice')
      .transaction()
      .execute(async trx => {
        await kill(database.admin, await pidOf(trx))
        await trx.selectFrom('tasks').selectAll().execute()
      })
    expect(isDatabaseUnavailable(await call.catch(error => error))).toBe(true)
    await expectAnswers(database)
  })

  test.each(['its next statement', 'its commit'])(
    'because a transaction was idle for too long is an outage for %s',
    async next => {
      await using database = await openTestDatabase('PostgreSQL')
      const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(database.admin)
      const name = sql.id(rows[0]?.name ?? '')
      await sql`alter database ${name} set idle_in_transaction_session_timeout = 50`.execute(database.admin)
      const short = await openDatabase({ url: database.url ?? '' })
      onTestFinished(short.close)
      const call = short
        .forUser('alice')
        .transaction()
        .execute(async trx => {
          await sql`select 1`.execute(trx)
          // The event loop is busy, so the end of the connection is not read before the next message is sent.
          for (const until = Date.now() + 200; Date.now() < until; );
          if (next === 'its next statement') await sql`select 2`.execute(trx)
        })
      expect(isDatabaseUnavailable(await call.catch(error => error))).toBe(true)
      await expectAnswers(short)
    },
  )

  test('while idle is replaced for the next statement', async () => {
    await using admin = await openTestDatabase('PostgreSQL')
    await using database = await openTestDatabase('PostgreSQL')
    const pid = await pidOf(database.admin)
    await waitFor(() => expect(database.pool()).toEqual({ total: 1, idle: 1, waiting: 0 }))
    await kill(admin.admin, pid)
    await waitFor(() => expect(database.pool().total).toBe(0))
    await expectAnswers(database)
    expect(await pidOf(database.admin)).not.toBe(pid)
  })
})

describe('a connection that PostgreSQL ends between the rows of an answer', () => {
  let admin: Awaited<ReturnType<typeof openTestDatabase>>
  let database: OpenDatabase
  beforeAll(async () => {
    admin = await openTestDatabase('PostgreSQL')
    database = await openDatabase({ url: admin.url ?? undefined, poolMax: 1 })
    // Longer than PostgreSQL's output buffer, so that each row is sent at once.
    const notes = 'x'.repeat(10_000)
    const tasks = ['one', 'two', 'last'].map(title => ({ id: crypto.randomUUID(), title, notes }))
    await database.forUser('alice').insertInto('tasks').values(tasks).execute()
  })
  afterAll(async () => {
    await database.close()
    await admin[Symbol.asyncDispose]()
  })

  const rowsOf = (handle: Handle) => handle.selectFrom('tasks').selectAll().forUpdate()
  async function streamRowsOf(handle: Handle) {
    for await (const _ of rowsOf(handle).stream(1)) {
      // Reads the rows that arrive.
    }
  }

  test.each<[string, (alice: Handle) => Promise<unknown>]>([
    ['a statement', alice => rowsOf(alice).execute()],
    ['a transaction', alice => alice.transaction().execute(trx => rowsOf(trx).execute())],
    ['a stream', streamRowsOf],
    ['a stream in a transaction', alice => alice.transaction().execute(streamRowsOf)],
  ])('is an outage for %s, and the connection is not reused', async (_, start) => {
    await admin.admin.transaction().execute(async trx => {
      await sql`select from tasks where title = 'last' for update`.execute(trx)
      const failure = start(database.forUser('alice')).catch(error => error)
      const pid = await waitFor(async () => {
        const { rows } = await sql<{ pid: number }>`
          select pid from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`.execute(admin.admin)
        expect(rows).toHaveLength(1)
        return rows[0]?.pid
      })
      await kill(admin.admin, pid)
      expect(await failure).toBeInstanceOf(DatabaseUnavailableError)
      expect(await pidOf(database.forUser('bob'))).not.toBe(pid)
    })
  })

  test.each([
    ['before the loss is noticed', async () => {}],
    ['after the loss is noticed', async () => void (await setTimeout(100))],
  ])('is an outage for a reader who leaves a stream %s', async (_, wait) => {
    let pid: number | undefined
    const leave = async () => {
      for await (const _ of rowsOf(database.forUser('alice')).stream(1)) {
        pid = await waitFor(async () => {
          const { rows } = await sql<{ pid: number }>`
            select pid from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and query like 'fetch%'`.execute(
            admin.admin,
          )
          expect(rows).toHaveLength(1)
          return rows[0]?.pid
        })
        await kill(admin.admin, pid)
        await wait()
        break
      }
    }
    await expect(leave()).rejects.toThrow(DatabaseUnavailableError)
    expect(await pidOf(database.forUser('bob'))).not.toBe(pid)
  })
})

describe('a server that has become read-only', () => {
  const write = (handle: Handle) =>
    handle.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'milk' }).execute()

  test('is an outage for a write, and its connection is not used again', async () => {
    await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(database.admin)
    const name = sql.id(rows[0]?.name ?? '')
    const alice = database.forUser('alice')
    await write(alice)
    await sql`set default_transaction_read_only = on`.execute(database.admin)
    const before = await pidOf(alice)
    await expect(write(alice)).rejects.toThrow(DatabaseUnavailableError)
    await write(alice)
    expect(await pidOf(alice)).not.toBe(before)
    await sql`alter database ${name} set default_transaction_read_only = on`.execute(database.admin)
    await kill(database.admin, await pidOf(database.admin)).catch(() => {})
    await expect(alice.transaction().execute(write)).rejects.toThrow(DatabaseUnavailableError)
    expect(await alice.selectFrom('tasks').select('title').execute()).toHaveLength(2)
  })

  test('is a mistake of the caller in a read-only transaction of their own', async () => {
    await using database = await openTestDatabase('PostgreSQL')
    const call = database.forUser('alice').transaction().setAccessMode('read only').execute(write)
    await expect(call).rejects.toMatchObject({ code: '25006' })
  })
})
