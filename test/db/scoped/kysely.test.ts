import { CamelCasePlugin, type Generated, type KyselyPlugin, sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { OpenDatabase } from '../../../db/index.js'
import { somebody } from '../../parts/app.js'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'

type Handle = ReturnType<OpenDatabase['forUser']>

interface CamelCaseTasks {
  userId: Generated<string>
  dueAt: string | null
}

const camelCase = (handle: Handle) =>
  handle.withPlugin(new CamelCasePlugin()).withTables<{ tasks: CamelCaseTasks }>()

const insert = (handle: Handle, title: string) =>
  handle.insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()

/** A plugin that throws when a result arrives. */
const failing: KyselyPlugin = {
  transformQuery: ({ node }) => node,
  async transformResult() {
    throw new Error('No such result')
  },
}

describe.each(kindsOfThisRun)('features of Kysely on a scoped handle on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  let id: string
  let user: Handle
  beforeAll(async () => {
    // One connection, so that a test which does not return it blocks the next statement.
    database = await openTestDatabase(kind, { poolMax: 1 })
    await insert(database.forUser('bob'), 'his')
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(async () => {
    id = somebody()
    user = database.forUser(id)
    for (const title of ['one', 'two', 'three']) await insert(user, title)
  })

  const titles = async () => {
    const rows = await user.selectFrom('tasks').select('title').orderBy('title').execute()
    return rows.map(row => row.title)
  }

  describe('a plugin', () => {
    const due = { userId: 'bob', dueAt: '2031-05-06T07:08:09.123Z' }

    test('renames columns in a single statement', async () => {
      const tasks = camelCase(user)
      const own = { id: crypto.randomUUID(), title: 'four', dueAt: due.dueAt }
      const written = await tasks.insertInto('tasks').values(own).returning(['userId', 'dueAt']).execute()
      expect(written).toEqual([{ userId: id, dueAt: new Date(due.dueAt) }])
      const rows = await tasks.selectFrom('tasks').select('userId').where('dueAt', '=', due.dueAt).execute()
      expect(rows).toEqual([{ userId: id }])
    })

    test('renames columns in a transaction and after a savepoint', async () => {
      await camelCase(user)
        .transaction()
        .execute(async trx => {
          const { numUpdatedRows } = await trx
            .updateTable('tasks')
            .set({ dueAt: due.dueAt })
            .executeTakeFirst()
          expect(numUpdatedRows).toBe(3n)
        })
      const trx = await camelCase(user).startTransaction().execute()
      const inside = await trx.savepoint('inside').execute()
      await inside.updateTable('tasks').set({ dueAt: null }).execute()
      const back = await inside.rollbackToSavepoint('inside').execute()
      const rows = await back.selectFrom('tasks').select(['userId', 'dueAt']).execute()
      expect(rows).toEqual(Array.from({ length: 3 }, () => ({ userId: id, dueAt: new Date(due.dueAt) })))
      await back.commit().execute()
    })

    test('renames columns in a stream, also in one that is left early', async () => {
      const seen: string[] = []
      const tasks = camelCase(user).selectFrom('tasks').select('userId')
      for await (const { userId } of tasks.stream(2)) seen.push(userId)
      expect(seen).toEqual([id, id, id])
      for await (const { userId } of tasks.stream(1)) {
        seen.push(userId)
        break
      }
      expect(seen).toHaveLength(4)
      expect(await titles()).toHaveLength(3)
    })

    test("cannot write another user's rows", async () => {
      const forged = { id: crypto.randomUUID(), title: 'forged', ...due }
      const call = camelCase(user).insertInto('tasks').values(forged).execute()
      await expect(call).rejects.toMatchObject({ code: '42501' })
    })

    test('returns its connection when it throws: in a statement, in a transaction, in a stream', async () => {
      const handle = user.withPlugin(failing)
      await expect(insert(handle, 'four')).rejects.toThrow('No such result')
      const call = handle.transaction().execute(trx => insert(trx, 'five'))
      await expect(call).rejects.toThrow('No such result')
      const stream = handle.selectFrom('tasks').select('title').stream(1)
      await expect(stream.next()).rejects.toThrow('No such result')
      expect(await titles()).toEqual(['four', 'one', 'three', 'two'])
    })

    test('for a schema finds the tables', async () => {
      const rows = await user.withSchema('public').selectFrom('tasks').select('user_id').distinct().execute()
      expect(rows).toEqual([{ user_id: id }])
    })
  })

  describe('explain', () => {
    test('returns the plan, which contains the policy', async () => {
      const tasks = user.selectFrom('tasks').select('title').where('title', '=', 'one')
      const lines = await tasks.explain()
      expect(lines.map(line => line['QUERY PLAN']).join('\n')).toMatch(/on tasks[\s\S]*\(user_id = /)
      expect(
        await user.transaction().execute(trx => trx.selectFrom('tasks').selectAll().explain()),
      ).not.toEqual([])
    })

    test('returns the plan as JSON', async () => {
      const [row] = await user.selectFrom('tasks').selectAll().explain('json')
      expect(row).toEqual({
        'QUERY PLAN': [{ Plan: expect.objectContaining({ 'Node Type': expect.any(String) }) }],
      })
    })

    test("with analyze of a deletion deletes only the caller's rows", async () => {
      await user.deleteFrom('tasks').explain('json', sql`analyze`)
      expect(await titles()).toEqual([])
      expect(await database.forUser('bob').selectFrom('tasks').select('title').execute()).toEqual([
        { title: 'his' },
      ])
    })
  })
})
