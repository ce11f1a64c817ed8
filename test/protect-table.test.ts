import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrateToLatest, openDatabase, protectTable, shareTable } from '../db/index.js'
import { databaseKinds, emptyDatabase, openTestDatabase } from './parts/database.js'

type Database = Awaited<ReturnType<typeof openTestDatabase>>
type Handle = ReturnType<Database['forUser']>

const insert = (handle: Handle, table: string, body: string) =>
  sql`insert into ${sql.table(table)} (body) values (${body})`.execute(handle)

async function bodies(handle: Handle, table: string) {
  const { rows } = await sql<{ body: string }>`select body from ${sql.table(table)} order by body`.execute(
    handle,
  )
  return rows.map(row => row.body)
}

describe.each(databaseKinds)("a table of one's own on %s", kind => {
  let database: Database
  let alice: Handle
  let bob: Handle
  const tables = ['notes', 'billing.invoices', 'Odd "name', 'Odd schema.user', `a_name_of_${'x'.repeat(53)}`]
  beforeAll(async () => {
    database = await openTestDatabase(kind)
    alice = database.forUser('alice')
    bob = database.forUser('bob')
    const { db } = database
    await sql`create schema billing`.execute(db)
    await sql`create schema "Odd schema"`.execute(db)
    for (const table of tables) {
      await db.transaction().execute(async trx => {
        // As a migration does: the identity column needs no sequence of the role's.
        await sql`
          create table ${sql.table(table)} (
            user_id text, id bigint generated always as identity, body text not null, primary key (user_id, id)
          )`.execute(trx)
        await protectTable(trx, table)
      })
    }
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each(tables)('is under the policy of the tasks: %s', async table => {
    await insert(alice, table, 'hers')
    await insert(bob, table, 'his')
    expect(await bodies(alice, table)).toEqual(['hers'])
    expect(await bodies(bob, table)).toEqual(['his'])
    const name = sql.table(table)
    await sql`update ${name} set body = 'seen'`.execute(alice)
    await sql`delete from ${name} where user_id = 'bob'`.execute(alice)
    expect(await bodies(bob, table)).toEqual(['his'])
    const forged = sql`insert into ${name} (user_id, body) values ('bob', 'forged')`.execute(alice)
    await expect(forged).rejects.toMatchObject({ code: '42501' })
    const given = sql`update ${name} set user_id = 'bob'`.execute(alice)
    await expect(given).rejects.toMatchObject({ code: '42501' })
    expect(await bodies(database.db, table)).toEqual(['his', 'seen'])
    await sql`delete from ${name}`.execute(alice)
    expect(await bodies(database.db, table)).toEqual(['his'])
  })

  test.each(tables)('refuses an empty user and none, whoever asks: %s', async table => {
    const write = (user: string | null) =>
      sql`insert into ${sql.table(table)} (user_id, body) values (${user}, 'nobody')`.execute(database.db)
    await expect(write('')).rejects.toMatchObject({ code: '23514' })
    await expect(write(null)).rejects.toMatchObject({ code: '23502' })
    await expect(insert(database.db, table, 'nobody')).rejects.toMatchObject({ code: '23502' })
  })

  test('is under a policy that is enabled and forced', async () => {
    const { rows } = await sql`
      select relname, relrowsecurity, relforcerowsecurity from pg_class
      where relname in ('tasks', 'notes', 'invoices') and relkind = 'r' order by relname`.execute(database.db)
    const policy = { relrowsecurity: true, relforcerowsecurity: true }
    expect(rows).toEqual(['invoices', 'notes', 'tasks'].map(relname => ({ relname, ...policy })))
  })

  test('stands beside the tasks in a transaction and in a join', async () => {
    const carol = database.forUser('carol')
    await carol.transaction().execute(async trx => {
      await trx.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'a task' }).execute()
      await insert(trx, 'notes', 'a note')
    })
    const { rows } = await sql`
      select title, body from tasks full join notes on tasks.user_id = notes.user_id`.execute(carol)
    expect(rows).toEqual([{ title: 'a task', body: 'a note' }])
  })

  test.each(['plain', 'billing.plain', 'closed.plain'])(
    'is out of reach where protectTable was not called: %s',
    async table => {
      const name = sql.table(table)
      await sql`create schema if not exists closed`.execute(database.db)
      await sql`create table ${name} (user_id text, body text)`.execute(database.db)
      await expect(bodies(alice, table)).rejects.toMatchObject({ code: '42501' })
      await expect(insert(alice, table, 'x')).rejects.toMatchObject({ code: '42501' })
      await expect(sql`delete from ${name}`.execute(alice)).rejects.toMatchObject({ code: '42501' })
    },
  )

  test('must be there, with a user_id', async () => {
    await expect(protectTable(database.db, 'missing')).rejects.toMatchObject({ code: '42P01' })
    await sql`create table ownerless (body text)`.execute(database.db)
    await expect(protectTable(database.db, 'ownerless')).rejects.toThrow('ownerless has no column user_id')
    await expect(bodies(alice, 'ownerless')).rejects.toMatchObject({ code: '42501' })
  })
})

const refused = 'cannot be protected: '

test.each([
  ['is a uuid', 'user_id uuid primary key', `${refused}the user_id of notes is uuid and must be text.`],
  [
    'is a varchar',
    'user_id varchar(36), id int, primary key (user_id, id)',
    `${refused}the user_id of notes is character varying(36) and must be text.`,
  ],
  [
    'takes Alice for alice',
    'user_id text collate blind primary key',
    'the user_id of notes must have a deterministic collation',
  ],
  [
    'takes Alice for alice in a key',
    'user_id text, unique (user_id), exclude (user_id collate blind with =)',
    `${refused}its key notes_user_id_excl must take user_id by a deterministic collation.`,
  ],
  [
    'is not first in a key',
    'user_id text, id int, primary key (id, user_id)',
    `${refused}its key notes_pkey does not start with user_id.`,
  ],
])('protectTable says exactly what is wrong where the user_id %s', async (_, columns, message) => {
  await using database = await openTestDatabase('PostgreSQL')
  const { db } = database
  await sql`create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`.execute(
    db,
  )
  await sql.raw(`create table notes (${columns})`).execute(db)
  await expect(protectTable(db, 'notes')).rejects.toThrow(message)
})

test.each([
  ['no index', '', ''],
  ['an index of another column', '', 'create index on notes (body)'],
  ['an index in which user_id comes second', '', 'create index on notes (body, user_id)'],
  ['an index of some rows', '', "create index on notes (user_id) where body <> ''"],
  ['an index of another kind', '', 'create index on notes using hash (user_id)'],
  ['an index of an expression', '', 'create index on notes (lower(user_id))'],
  ['an index of another collation', '', 'create index on notes (user_id collate "C")'],
  [
    'an index that is not finished',
    '',
    "create index on notes (user_id); update pg_index set indisvalid = false where indrelid = 'notes'::regclass",
  ],
  [
    'an index of one partition',
    'partition by list (body)',
    'create table part partition of notes default; create index on part (user_id); create table rest partition of notes for values in ($$1$$)',
  ],
  ['partitions to come without an index', 'partition by hash (user_id)', ''],
])('protectTable refuses a table with %s, and says how to make one', async (_, partitions, statements) => {
  await using database = await openTestDatabase('PostgreSQL')
  const { db } = database
  await sql.raw(`create table notes (user_id text, body text) ${partitions}`).execute(db)
  await sql.raw(statements).execute(db)
  const refusal = await protectTable(db, 'notes').catch(error => error.message)
  expect(refusal).toContain('notes needs an index that starts with user_id')
  const [mend = ''] = /create index .*;/.exec(refusal) ?? []
  await sql.raw(mend).execute(db)
  await protectTable(db, 'notes')
  expect((await database.fence()).gaps).toEqual([])
})

test.each([
  ['a view', 'create view prices as select 1 as price'],
  ['a materialized view', 'create materialized view prices as select 1 as price'],
  [
    'a foreign table',
    'create foreign data wrapper nothing; create server far foreign data wrapper nothing; create foreign table prices (price int) server far',
  ],
])('shareTable refuses %s', async (_, statements) => {
  await using database = await openTestDatabase('PostgreSQL')
  await sql.raw(statements).execute(database.db)
  await expect(shareTable(database.db, 'prices')).rejects.toThrow('prices cannot be shared: it is no table.')
})

test('shareTable takes a partitioned table', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const { db, fence, forUser } = database
  await sql`create table prices (price int) partition by list (price)`.execute(db)
  await sql`create table rest partition of prices default`.execute(db)
  await shareTable(db, 'prices')
  await sql`insert into prices values (1)`.execute(db)
  expect((await fence()).gaps).toEqual([])
  expect((await sql`select * from prices`.execute(forUser('alice'))).rows).toEqual([{ price: 1 }])
})

test('protectTable before the migrations says what to do', async () => {
  await using empty = await emptyDatabase()
  const { db, close } = await openDatabase({ url: empty.url })
  try {
    await sql`create table notes (user_id text primary key)`.execute(db)
    await expect(protectTable(db, 'notes')).rejects.toThrow(/migrations of trpc-bearer/)
  } finally {
    await close()
  }
})

test.each([
  [
    'the first schema of the search path',
    ['create schema app', 'alter database DATABASE set search_path = app, public'],
  ],
  ['the schema public, closed to everybody', ['revoke all on schema public from public']],
])('a table in %s is within reach, and the tasks are', async (_, statements) => {
  await using empty = await emptyDatabase()
  const before = await openDatabase({ url: empty.url })
  const name = new URL(empty.url).pathname.slice(1)
  for (const statement of statements) await sql.raw(statement.replace('DATABASE', name)).execute(before.db)
  await before.close()
  const { db, forUser, close } = await openDatabase({ url: empty.url })
  try {
    await migrateToLatest(db)
    await sql`create table notes (user_id text primary key, body text)`.execute(db)
    await protectTable(db, 'notes')
    await insert(forUser('alice'), 'notes', 'hers')
    expect(await bodies(forUser('alice'), 'notes')).toEqual(['hers'])
    expect(await forUser('bob').selectFrom('tasks').selectAll().execute()).toEqual([])
  } finally {
    await close()
  }
})
