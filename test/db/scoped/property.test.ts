import fc from 'fast-check'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { isDatabaseUnavailable } from '../../../db/errors.js'
import type { OpenDatabase } from '../../../db/index.js'
import { type DatabaseKind, openTestDatabase } from '../../parts/database.js'
import { type IsolationMutant, isolationMutants } from '../../parts/isolation-mutants.js'

const users = ['alice', 'bob', 'carol', 'dave'] as const
type User = (typeof users)[number]
type Handle = ReturnType<OpenDatabase['forUser']>

/** What one of several concurrent users does. */
type Action =
  | {
      kind: 'add' | 'list' | 'rename' | 'remove' | 'fail' | 'rolledBack' | 'cancelled' | 'killed' | 'leave'
      user: User
    }
  | { kind: 'transaction' | 'savepoint'; user: User; adds: number }
  | { kind: 'stream'; user: User; reads: number }

const steps: Action['kind'][] = [
  'add',
  'add',
  'list',
  'list',
  'rename',
  'remove',
  'fail',
  'rolledBack',
  'leave',
]
const faults: Action['kind'][] = ['cancelled', 'killed']

const actionOf = (kinds: readonly Action['kind'][]) =>
  fc.oneof(
    fc.record({ kind: fc.constantFrom(...kinds), user: fc.constantFrom(...users) }),
    fc.record({
      kind: fc.constant('transaction'),
      user: fc.constantFrom(...users),
      adds: fc.integer({ min: 1, max: 3 }),
    }),
    fc.record({
      kind: fc.constant('savepoint'),
      user: fc.constantFrom(...users),
      adds: fc.integer({ min: 1, max: 3 }),
    }),
    // Leaves the stream after so many rows.
    fc.record({
      kind: fc.constant('stream'),
      user: fc.constantFrom(...users),
      reads: fc.integer({ min: 1, max: 5 }),
    }),
  ) as fc.Arbitrary<Action>

/** Repeats a query until it succeeds, because its connection may have been killed. */
async function retry<T>(query: () => Promise<T>): Promise<T> {
  return query().catch(() => retry(query))
}

/** Runs the actions concurrently and returns what went wrong: a row of another user seen or changed, or an own row missing. */
async function runActions(
  { admin: db, forUser }: Pick<OpenDatabase, 'admin' | 'forUser'>,
  actions: readonly Action[],
): Promise<string[]> {
  const wrong: string[] = []
  await retry(() => db.deleteFrom('tasks').execute())
  const acknowledged = new Map<User, number>(users.map(user => [user, 0]))
  const add = async (handle: Handle, user: User) => {
    await handle.insertInto('tasks').values({ id: crypto.randomUUID(), title: user }).execute()
  }
  const tasksOf = (handle: Handle) => handle.selectFrom('tasks').select(['user_id', 'title'])
  const checkRow = (row: { user_id: string; title: string }, user: User) => {
    if (row.user_id !== user || row.title !== user)
      wrong.push(`${user} sees a row of ${row.user_id} (${row.title})`)
  }
  const checkRows = async (handle: Handle, user: User) => {
    for (const row of await tasksOf(handle).execute()) checkRow(row, user)
  }
  const stream = async (handle: Handle, user: User, reads: number) => {
    let read = 0
    for await (const row of tasksOf(handle).stream(2)) {
      checkRow(row, user)
      if (++read === reads) break
    }
  }
  /** Adds rows before a savepoint, and as many after it that are rolled back. */
  const addBeforeSavepoint = async (handle: Handle, user: User, adds: number) => {
    const trx = await handle.startTransaction().execute()
    try {
      for (let n = 0; n < adds; n++) await add(trx, user)
      const inside = await trx.savepoint('inside').execute()
      for (let n = 0; n < adds; n++) await add(inside, user)
      const back = await inside.rollbackToSavepoint('inside').execute()
      await stream(back, user, adds)
      await back.commit().execute()
    } catch (error) {
      await trx.rollback().execute()
      throw error
    }
  }
  const act = async (action: Action) => {
    const { kind, user } = action
    const gone = new AbortController()
    const handle = forUser(user, { signal: gone.signal })
    if (kind === 'add')
      await add(handle, user).then(() => acknowledged.set(user, (acknowledged.get(user) ?? 0) + 1))
    else if (kind === 'list') await checkRows(handle, user)
    else if (kind === 'rename') await handle.updateTable('tasks').set({ title: user }).execute()
    else if (kind === 'remove') {
      const { numDeletedRows } = await handle
        .deleteFrom('tasks')
        .where('user_id', '!=', user)
        .executeTakeFirst()
      if (numDeletedRows > 0n) wrong.push(`${user} deletes ${numDeletedRows} rows of others`)
    } else if (kind === 'fail') await sql`select 1 / 0`.execute(handle)
    else if (kind === 'leave') await sql`select set_config('app.user_id', 'bob', false)`.execute(handle)
    else if (kind === 'transaction') {
      await handle.transaction().execute(async trx => {
        for (let n = 0; n < action.adds; n++) await add(trx, user)
        await checkRows(trx, user)
      })
      acknowledged.set(user, (acknowledged.get(user) ?? 0) + action.adds)
    } else if (kind === 'savepoint') {
      await addBeforeSavepoint(handle, user, action.adds)
      acknowledged.set(user, (acknowledged.get(user) ?? 0) + action.adds)
    } else if (kind === 'stream') await stream(handle, user, action.reads)
    else if (kind === 'rolledBack') {
      await handle.transaction().execute(async trx => {
        await add(trx, user)
        await checkRows(trx, user)
        throw new Error('rolled back')
      })
    } else if (kind === 'cancelled') {
      setTimeout(() => gone.abort(new Error('gone')), 2)
      await handle.transaction().execute(async trx => {
        await sql`select pg_sleep(0.01)`.execute(trx)
        await checkRows(trx, user)
        throw new Error('rolled back')
      })
    } else {
      await sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() order by random() limit 1`.execute(db)
    }
  }
  const results = await Promise.allSettled(actions.map(act))
  const hasFaults = actions.some(({ kind }) => kind === 'killed')
  const rows = await retry(() => db.selectFrom('tasks').select(['user_id', 'title']).execute())
  for (const user of users) {
    const own = rows.filter(row => row.user_id === user)
    if (own.some(row => row.title !== user)) wrong.push(`somebody changed a row of ${user}`)
    const expected = acknowledged.get(user) ?? 0
    // A killed connection may have committed without an acknowledgement.
    if (own.length < expected || (!hasFaults && own.length > expected))
      wrong.push(`${user} has ${own.length} rows, not ${expected}`)
  }
  const strangers = rows.filter(row => !users.some(user => user === row.user_id))
  if (strangers.length > 0) wrong.push('there are rows of unknown users')
  if (!hasFaults) {
    for (const [index, result] of results.entries()) {
      const mayFail = ['fail', 'rolledBack', 'cancelled'].includes(actions[index]?.kind ?? '')
      // A connection that the previous run killed may be noticed only now.
      const isOutage = result.status === 'rejected' && isDatabaseUnavailable(result.reason)
      if (result.status === 'rejected' && !mayFail && !isOutage)
        wrong.push(`${actions[index]?.kind} failed: ${result.reason}`)
    }
  }
  return wrong
}

const openFew = async (kind: DatabaseKind) => openTestDatabase(kind, { poolMax: 3 })
const runs = Number(process.env.PROPERTY_RUNS ?? 30)

describe('several users at once over few connections', () => {
  test('see and change only their own rows, whatever fails, on PostgreSQL', async () => {
    await using database = await openFew('PostgreSQL')
    const property = fc.asyncProperty(
      fc.array(actionOf([...steps, ...faults]), { maxLength: 40 }),
      async actions => {
        expect(await runActions(database, actions)).toEqual([])
      },
    )
    await fc.assert(property, { numRuns: runs })
  })

  if (process.env.LONG_TESTS) {
    test('see and change only their own rows on the embedded database', async () => {
      await using database = await openFew('embedded')
      const property = fc.asyncProperty(fc.array(actionOf(steps), { maxLength: 20 }), async actions => {
        expect(await runActions(database, actions)).toEqual([])
      })
      await fc.assert(property, { numRuns: Math.ceil(runs / 3) })
    })
  }

  test.each(isolationMutants)('the test above would fail if %s', async (_, breach: IsolationMutant) => {
    await using database = await openFew('PostgreSQL')
    const open = await breach(database)
    const seen = new Set<string>()
    const property = fc.asyncProperty(
      fc.array(actionOf(steps), { minLength: 20, maxLength: 40 }),
      async actions => {
        for (const wrong of await runActions(open, actions)) seen.add(wrong)
        expect([...seen].filter(wrong => /sees a row of|deletes/.test(wrong))).toEqual([])
      },
    )
    await expect(fc.assert(property, { numRuns: 30, endOnFailure: true })).rejects.toThrow('Property failed')
  })
})
