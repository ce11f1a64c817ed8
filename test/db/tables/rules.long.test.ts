import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { protectTable, unprotectTable } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'

test('for a partitioned table over 256 MB the error has a statement for each partition', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (text: string) => sql.raw(text).execute(database.admin)
  await run(`create table events (user_id text, n int, body text) partition by range (n);
    create table events_a partition of events for values from (0) to (20000);
    create table events_b partition of events for values from (20000) to (40000);
    alter table events_a set (fillfactor = 10); alter table events_b set (fillfactor = 10);
    alter table events alter body set storage plain;
    insert into events select 'user-' || n % 100, n, repeat('x', 700) from generate_series(1, 37000) n`)
  const refusal = await protectTable(database.admin, 'events').catch(error => error.message)
  const [, statements = ''] = /before protectTable: (.*)$/.exec(refusal) ?? []
  expect(statements).toBe(
    'create index concurrently on events_a ("user_id"); create index concurrently on events_b ("user_id");',
  )
  for (const statement of statements.split('; ')) await run(statement)
  await protectTable(database.admin, 'events')
  expect((await database.fence()).gaps).toEqual([])
  const { rows } = await sql`
    select count(*)::int from pg_index where indrelid in ('events_a'::regclass, 'events_b'::regclass)`.execute(
    database.admin,
  )
  expect(rows).toEqual([{ count: 2 }])
})

test('a table over 256 MB is not locked to create its index: the error has the statement to run first', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const { admin: db, fence, forUser } = database
  await sql`create table events ("the owner" text, body text) with (fillfactor = 10)`.execute(db)
  await sql`alter table events alter body set storage plain`.execute(db)
  const fill = (rows: number) =>
    sql`insert into events select 'user-' || n % 100, repeat('x', 700) from generate_series(1, ${rows}::int) n`.execute(
      db,
    )
  const size = async () => {
    const { rows } = await sql<{ bytes: number }>`select pg_table_size('events')::float8 as bytes`.execute(db)
    return rows[0]?.bytes ?? 0
  }
  const owner = { owner: 'the owner' }
  await fill(30_000)
  expect(await size()).toBeLessThan(256 * 2 ** 20)
  await protectTable(db, 'events', owner)
  await unprotectTable(db, 'events')
  await sql`drop index "events_the owner_idx"`.execute(db)
  await fill(5_000)
  expect(await size()).toBeGreaterThan(256 * 2 ** 20)
  const refusal = await protectTable(db, 'events', owner).catch(error => error.message)
  expect(refusal).toBe(
    '"events" has no index that starts with the owner, and is too big to create one while others write. Run this before protectTable: create index concurrently on events ("the owner");',
  )
  const { rows } = await sql`select from pg_policy where polrelid = 'events'::regclass`.execute(db)
  expect(rows).toEqual([])
  await expect(sql`select from events`.execute(forUser('user-1'))).rejects.toMatchObject({ code: '42501' })
  await sql.raw(refusal.replace(/.*: /, '')).execute(db)
  await protectTable(db, 'events', owner)
  expect((await fence()).gaps).toEqual([])
  const seen = await sql`select count(*)::int from events`.execute(forUser('user-1'))
  expect(seen.rows).toEqual([{ count: 350 }])
})
