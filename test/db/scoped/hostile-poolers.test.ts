import { type Kysely, sql } from 'kysely'
import { expect, test } from 'vitest'
import { type Database, openDatabase } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { type PoolerMode, poolerModes, startHostilePooler } from '../../parts/hostile-pooler.js'

const rounds = process.env.LONG_TESTS ? 60 : 7

/** The calls of two users, one after the other for each, and what is seen. */
async function callAsTwo(forUser: (id: string) => Kysely<Database>) {
  const strange: string[] = []
  const errors: unknown[] = []
  let answered = 0
  const check = (id: string, rows: { user_id: string; title: string }[]) => {
    for (const row of rows)
      if (row.user_id !== id || row.title !== id) strange.push(`${id} sees ${row.title} of ${row.user_id}`)
  }
  const add = (handle: Kysely<Database>, id: string) =>
    handle.insertInto('tasks').values({ id: crypto.randomUUID(), title: id }).execute()
  const list = async (handle: Kysely<Database>, id: string) =>
    check(id, await handle.selectFrom('tasks').select(['user_id', 'title']).execute())
  const steps: ((handle: Kysely<Database>, id: string) => Promise<unknown>)[] = [
    add,
    list,
    // Without the policies this would change the rows of both.
    (handle, id) => handle.updateTable('tasks').set({ title: id }).execute(),
    (handle, id) =>
      handle.transaction().execute(async trx => {
        await list(trx, id)
        await add(trx, id)
        await trx.updateTable('tasks').set({ title: id }).execute()
        await list(trx, id)
      }),
    async (handle, id) => {
      const rows = handle.selectFrom('tasks').select(['user_id', 'title']).stream(2)
      for await (const row of rows) check(id, [row])
    },
    handle => sql`select set_config('app.user_id', 'bob', false), pg_advisory_lock_shared(1)`.execute(handle),
    (handle, id) =>
      handle.transaction().execute(async trx => {
        for await (const row of trx.selectFrom('tasks').select(['user_id', 'title']).stream(1))
          check(id, [row])
      }),
  ]
  await Promise.all(
    ['alice', 'bob', 'alice', 'bob'].map(async (id, offset) => {
      for (let n = 0; n < rounds; n++) {
        const step = steps[(n * 3 + offset) % steps.length] ?? list
        await step(forUser(id), id).then(
          () => answered++,
          error => errors.push(error),
        )
      }
    }),
  )
  return { strange, errors, answered }
}

const harmless: readonly PoolerMode[] = [
  'pools transactions',
  'splits the bytes anywhere, with each Sync in a segment of its own',
  'delays every message',
]

test.each(poolerModes)(
  'two users through a pooler that %s see their own rows, or get an error',
  async mode => {
    await using direct = await openTestDatabase('PostgreSQL')
    await using pooler = await startHostilePooler(direct.url ?? '')
    const database = await openDatabase({
      url: pooler.url,
      poolMax: 4,
      statementTimeout: 2,
      onProblem: () => {},
    })
    try {
      // The check of the isolation finds this one before any call. The others begin after it.
      if (mode !== 'answers set_config itself') await database.gate()
      pooler.mode = mode
      const { strange, errors, answered } = await callAsTwo(id => database.forUser(id))
      expect(strange).toEqual([])
      const { rows } = await sql`select user_id, title from tasks where title <> user_id`.execute(
        direct.admin,
      )
      expect(rows).toEqual([])
      if (harmless.includes(mode)) expect(errors).toEqual([])
      else if (mode === 'answers set_config itself') expect(answered).toBe(0)
      else expect(answered).toBeGreaterThan(0)
      pooler.mode = 'pools transactions'
      await expect
        .poll(() => database.forUser('alice').selectFrom('tasks').select('title').execute(), {
          timeout: 20_000,
        })
        .toBeDefined()
    } finally {
      await database.close()
    }
  },
  60_000,
)
