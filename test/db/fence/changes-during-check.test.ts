import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { openDatabase, protectTable, setUpFence } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'

/** A database whose checks stop before each of their runs, and another session that locks the table of tasks. */
async function openSteered({ isSigned = false } = {}) {
  const base = await openTestDatabase('PostgreSQL')
  const { admin } = base
  const url = base.url ?? ''
  const steps = new Map<number, () => Promise<unknown>>()
  let runs = 0
  class Client extends pg.Client {
    constructor(config?: pg.ClientConfig) {
      super(config)
      const { query } = this
      const steered = (...args: unknown[]) => {
        const isStart = typeof args[0] === 'string' && args[0].includes('trpc_bearer.application_role()')
        const step = isStart ? steps.get(++runs) : undefined
        const send = () => Reflect.apply(query, this, args)
        return step === undefined ? send() : step().then(send)
      }
      Object.assign(this, { query: steered })
    }
  }
  const server = new URL(url)
  const fence = { secret: randomBytes(32).toString('hex'), login: `test_${randomBytes(6).toString('hex')}` }
  if (isSigned) {
    await sql.raw(`create role ${fence.login} login noinherit password 'x'`).execute(admin)
    await setUpFence(admin, { role: 'app_user', ...fence })
    Object.assign(server, { username: fence.login, password: 'x' })
  }
  const pool = new pg.Pool({ connectionString: server.href, Client })
  // The database may be dropped while a connection still says goodbye.
  pool.on('error', () => {})
  const options = isSigned ? { fenceSecret: fence.secret, requiredFence: 'signed' as const } : {}
  const database = await openDatabase({ pool, statementTimeout: 1, ...options })
  const locker = new pg.Client({ connectionString: url })
  await locker.connect()
  const run =
    (...statements: string[]) =>
    () =>
      locker.query(statements.join(';'))
  return {
    admin,
    lock: run('begin', 'lock table tasks in access exclusive mode'),
    unlock: run('rollback'),
    run,
    /** Objects of the gaps that an audit finds, with what happens before its runs. */
    async audit(happens: Record<number, () => Promise<unknown>> = {}) {
      runs = 0
      for (const [number, step] of Object.entries(happens)) steps.set(Number(number), step)
      const { gaps, level } = await database.fence()
      steps.clear()
      await locker.query('rollback')
      return { objects: [...new Set(gaps.map(({ object }) => object))], level }
    },
    list: (table = 'tasks') => sql.raw(`select from ${table}`).execute(database.forUser('alice')),
    async [Symbol.asyncDispose]() {
      await database.close()
      await pool.end()
      await locker.end()
      if (isSigned) await sql.raw(`drop owned by ${fence.login}; drop role ${fence.login}`).execute(admin)
      await base[Symbol.asyncDispose]()
    },
  }
}

const loose = (name: string) => `create policy ${name} on tasks to app_user using (true)`

describe('a gap stays a gap', () => {
  test.each([1, 2, 3])('if its table is locked only in run %i of a check', async number => {
    await using database = await openSteered()
    await database.run('drop policy own_rows_first on tasks', loose('loose'))()
    expect((await database.audit()).objects).toEqual(['public.tasks'])
    const happens = { [number]: database.lock, [number + 1]: database.unlock }
    expect((await database.audit(happens)).objects).toEqual(['public.tasks'])
    await expect(database.list()).rejects.toThrow('does not keep users apart')
  })

  test.each([1, 2, 3])('of the level if a table is locked only in run %i of a check', async number => {
    await using database = await openSteered({ isSigned: true })
    expect(await database.audit()).toEqual({ objects: [], level: 'signed' })
    await database.run('drop policy own_rows_first on tasks')()
    const happens = { [number]: database.lock, [number + 1]: database.unlock }
    expect(await database.audit(happens)).toEqual({ objects: ['the level'], level: 'plain' })
    await expect(database.list()).rejects.toThrow('does not keep users apart')
  })

  test('if the first run ended early, and the table is locked in the second', async () => {
    await using database = await openSteered()
    await database.run('drop policy own_rows_first on tasks', loose('loose'))()
    const { rows } = await sql<{ text: string }>`
      select pg_get_functiondef('trpc_bearer.user_id()'::regprocedure) as text`.execute(database.admin)
    await database.run(`create or replace function trpc_bearer.user_id() returns text stable return 'bob'`)()
    const happens = {
      2: async () => {
        await database.run(rows[0]?.text ?? '')()
        await database.lock()
      },
    }
    expect((await database.audit(happens)).objects).toEqual(['public.tasks'])
    await expect(database.list()).rejects.toThrow('does not keep users apart')
  })

  test('if its table is renamed, or another gap is added to it, while the check runs', async () => {
    await using database = await openSteered()
    await database.run('drop policy own_rows_first on tasks', loose('loose'))()
    const renamed = await database.audit({ 2: database.run('alter table tasks rename to jobs') })
    expect(renamed.objects).toEqual(['public.jobs'])
    await expect(database.list('jobs')).rejects.toThrow('does not keep users apart')
    await database.run('alter table jobs rename to tasks')()
    expect((await database.audit({ 2: database.run(loose('another')) })).objects).toEqual(['public.tasks'])
    await expect(database.list()).rejects.toThrow('does not keep users apart')
  })
})

test('another table under the name of one that was checked is not known, if it is locked', async () => {
  await using database = await openSteered()
  expect((await database.audit()).objects).toEqual([])
  await database.run(
    'alter table tasks rename to old_tasks',
    'create table tasks (user_id text not null, id uuid primary key)',
  )()
  await protectTable(database.admin, 'tasks')
  await database.lock()
  expect((await database.audit()).objects).toEqual(['public.tasks'])
})

test('a gap that is fixed while a check runs is none', async () => {
  await using database = await openSteered()
  await database.run(loose('loose'), 'drop policy own_rows_first on tasks')()
  const fixed = database.run('drop policy loose on tasks')
  expect((await database.audit({ 2: fixed })).objects).toEqual([])
})
