import { sql } from 'kysely'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { migrateToLatest, openDatabase } from '../../db/index.js'
import { emptyDatabase } from '../parts/database.js'
import { startPgBouncer } from '../parts/pgbouncer.js'
import { startTypeScript } from '../parts/running.js'

let bouncer: Awaited<ReturnType<typeof startPgBouncer>>
beforeAll(async () => {
  bouncer = await startPgBouncer()
})
afterAll(() => bouncer[Symbol.asyncDispose]())

test('thousands of statements of many users through few sessions: none sees a row of another', async () => {
  await using empty = await emptyDatabase()
  const url = bouncer.urlOf(empty.url)
  const database = await openDatabase({ url, poolMax: 20, preparedStatements: false })
  try {
    await migrateToLatest(database.db)
    const users = Array.from({ length: 50 }, (_, n) => `user-${n}`)
    const strange: string[] = []
    const act = async (user: string, n: number) => {
      const handle = database.forUser(user)
      if (n % 3 === 0)
        await handle.insertInto('tasks').values({ id: crypto.randomUUID(), title: user }).execute()
      else if (n % 7 === 0) await sql`select set_config('app.user_id', 'user-0', false)`.execute(handle)
      else if (n % 11 === 0) await sql`select 1 / 0`.execute(handle).catch(() => {})
      const rows = await (n % 5 === 0
        ? handle.transaction().execute(trx => trx.selectFrom('tasks').select(['user_id', 'title']).execute())
        : handle.selectFrom('tasks').select(['user_id', 'title']).execute())
      strange.push(
        ...rows.filter(row => row.user_id !== user || row.title !== user).map(row => `${user}: ${row.title}`),
      )
    }
    for (let n = 0; n < 60; n++) await Promise.all(users.map(user => act(user, n)))
    expect(strange).toEqual([])
    const { rows } = await sql<{ rows: number }>`select count(*)::int as rows from tasks`.execute(database.db)
    expect(rows).toEqual([{ rows: 50 * 20 }])
  } finally {
    await database.close()
  }
}, 120_000)

test('the script that makes an index concurrently is refused: it needs a session of its own', async () => {
  const env = { DATABASE_URL: bouncer.urlOf(inject('postgresUrl')) }
  await using script = startTypeScript('examples/concurrent-index/main.ts', env)
  const { code, stderr } = await script.ended
  expect([code, stderr]).toEqual([1, expect.stringContaining('unsupported startup parameter')])
})
