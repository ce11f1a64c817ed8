import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { FenceError, migrateToLatest, openDatabase, protectTable, shareTable } from '../db/index.js'
import { databaseKinds, emptyDatabase, openTestDatabase } from './parts/database.js'

describe.each(databaseKinds)('the fence on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase(kind)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(async () => {
    await sql`drop schema if exists gap cascade`.execute(database.db)
    await sql`create schema gap`.execute(database.db)
    await sql`grant usage on schema gap to app_user`.execute(database.db)
    await sql`
      create table gap.notes (user_id text not null, id int not null, body text, primary key (user_id, id))`.execute(
      database.db,
    )
  })
  const run = (text: string) => sql.raw(text).execute(database.db)

  test('stands on what the migrations made', async () => {
    expect((await database.fence()).gaps).toEqual([])
  })

  test('stands beside tables that the role cannot reach, are protected, or were shared', async () => {
    await run('create table gap.private (id int)')
    await run('create table gap.countries (code text primary key)')
    await protectTable(database.db, 'gap.notes')
    await shareTable(database.db, 'gap.countries')
    await run('create view gap.mine with (security_invoker = true) as select * from gap.notes')
    await run('grant select on gap.mine to app_user')
    expect((await database.fence()).gaps).toEqual([])
    const { rows } = await sql`select * from gap.countries`.execute(database.forUser('alice'))
    expect(rows).toEqual([])
    await expect(sql`delete from gap.countries`.execute(database.forUser('alice'))).rejects.toThrow(
      'permission denied',
    )
    await expect(sql`select * from gap.private`.execute(database.forUser('alice'))).rejects.toThrow(
      'permission denied',
    )
  })

  test.each([
    ['a table that was granted without a policy', ['grant select on gap.notes to app_user'], 'gap.notes'],
    ['a table that everybody may read', ['grant select on gap.notes to public'], 'gap.notes'],
    ['a column that was granted', ['grant select (body) on gap.notes to app_user'], 'gap.notes'],
    [
      'a table of an odd name',
      ['create table gap."ROLE" (id int)', 'grant select on gap."ROLE" to app_user'],
      'gap."ROLE"',
    ],
    ['a table of the catalogue', ['grant select on pg_authid to app_user'], 'pg_authid'],
    [
      'a view with the rights of its owner',
      ['create view gap.all as select * from tasks', 'grant select on gap.all to app_user'],
      'gap."all"',
    ],
    [
      'a materialized view',
      ['create materialized view gap.copy as select * from tasks', 'grant select on gap.copy to app_user'],
      'gap.copy',
    ],
  ])(
    'has a gap by %s, and protected statements are refused until it is mended',
    async (_, statements, object) => {
      for (const statement of statements) await run(statement)
      const { gaps } = await database.fence()
      expect(gaps).toEqual([expect.objectContaining({ object })])
      await expect(database.forUser('alice').selectFrom('tasks').select('id').execute()).rejects.toThrow(
        FenceError,
      )
      for (const { mend } of gaps) await run(mend)
      expect((await database.fence()).gaps).toEqual([])
      expect(await database.forUser('alice').selectFrom('tasks').select('id').execute()).toEqual([])
    },
  )

  test.each([
    ['another policy that opens it', 'create policy everybody on gap.notes using (true)'],
    ['row-level security that is no longer forced', 'alter table gap.notes no force row level security'],
    ['row-level security that was disabled', 'alter table gap.notes disable row level security'],
    ['a unique key that tells of others', 'create unique index on gap.notes (body)'],
  ])('has a gap by %s on a protected table', async (_, statement) => {
    await protectTable(database.db, 'gap.notes')
    expect((await database.fence()).gaps).toEqual([])
    await run(statement)
    expect((await database.fence()).gaps).toEqual([expect.objectContaining({ object: 'gap.notes' })])
    await run('drop schema gap cascade')
    expect((await database.fence()).gaps).toEqual([])
  })
})

test('a role that can become one whom policies do not bind is a gap', async () => {
  await using empty = await emptyDatabase()
  const role = `becoming_${new URL(empty.url).pathname.slice(6)}`
  const database = await openDatabase({ url: empty.url, role })
  try {
    await migrateToLatest(database.db, { role })
    await sql
      .raw(`create role strong_${role} bypassrls; grant strong_${role} to ${role}`)
      .execute(database.db)
    expect((await database.fence()).gaps).toEqual([
      expect.objectContaining({ problem: `it can become strong_${role}, whom policies do not bind` }),
    ])
  } finally {
    await sql.raw(`drop owned by ${role} cascade; drop role ${role}, strong_${role}`).execute(database.db)
    await database.close()
  }
})

test.each(['superuser', 'bypassrls'])(
  'a role that is %s is a gap, and nothing is asked as it',
  async attribute => {
    await using empty = await emptyDatabase()
    const role = `strong_${attribute}`
    const database = await openDatabase({ url: empty.url, role })
    try {
      await migrateToLatest(database.db, { role })
      expect((await database.fence()).gaps).toEqual([])
      await sql.raw(`alter role ${role} ${attribute}`).execute(database.db)
      expect((await database.fence()).gaps).toEqual([expect.objectContaining({ object: `role ${role}` })])
      await expect(database.forUser('alice').selectFrom('tasks').select('id').execute()).rejects.toThrow(
        FenceError,
      )
      await sql.raw(`alter role ${role} no${attribute}`).execute(database.db)
    } finally {
      await sql.raw(`drop owned by ${role} cascade; drop role ${role}`).execute(database.db)
      await database.close()
    }
  },
)
