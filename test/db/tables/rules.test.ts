import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { protectTable, shareTable } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'

const refused = 'cannot be protected: '

describe('protectTable', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase('PostgreSQL')
    await sql`create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`.execute(
      database.admin,
    )
  })
  afterEach(async () => {
    await sql`drop table notes`.execute(database.admin)
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each([
    [
      'is a uuid',
      'user_id uuid primary key',
      `${refused}the user_id of notes has the type uuid instead of text.`,
    ],
    [
      'is a varchar',
      'user_id varchar(36), id int, primary key (user_id, id)',
      `${refused}the user_id of notes has the type character varying(36) instead of text.`,
    ],
    [
      'treats Alice and alice as equal',
      'user_id text collate blind primary key',
      'the user_id of notes must have a deterministic collation',
    ],
    [
      'treats Alice and alice as equal in a key',
      'user_id text, unique (user_id), exclude (user_id collate blind with =)',
      `${refused}its key notes_user_id_excl must use a deterministic collation for user_id.`,
    ],
    [
      'is not first in a key',
      'user_id text, id int, primary key (id, user_id)',
      `${refused}its key notes_pkey does not start with user_id.`,
    ],
  ])('says exactly what is wrong if the user_id %s', async (_, columns, message) => {
    const { admin: db } = database
    await sql.raw(`create table notes (${columns})`).execute(db)
    await expect(protectTable(db, 'notes')).rejects.toThrow(message)
  })

  test.each([
    ['no index', '', ''],
    ['an index of another column', '', 'create index on notes (body)'],
    ['an index with user_id as the second column', '', 'create index on notes (body, user_id)'],
    ['a partial index', '', "create index on notes (user_id) where body <> ''"],
    ['an index of another kind', '', 'create index on notes using hash (user_id)'],
    ['an index on an expression', '', 'create index on notes (lower(user_id))'],
    ['an index with another collation', '', 'create index on notes (user_id collate "C")'],
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
    ['future partitions without an index', 'partition by hash (user_id)', ''],
  ])('refuses a table with %s, and prints the index to create', async (_, partitions, statements) => {
    const { admin: db } = database
    await sql.raw(`create table notes (user_id text, body text) ${partitions}`).execute(db)
    await sql.raw(statements).execute(db)
    const refusal = await protectTable(db, 'notes').catch(error => error.message)
    expect(refusal).toContain('notes needs an index that starts with user_id')
    const [fix = ''] = /create index .*;/.exec(refusal) ?? []
    await sql.raw(fix).execute(db)
    await protectTable(db, 'notes')
    expect((await database.fence()).gaps).toEqual([])
  })
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
  await sql.raw(statements).execute(database.admin)
  await expect(shareTable(database.admin, 'prices')).rejects.toThrow(
    'prices cannot be shared: it is not a table.',
  )
})

test('shareTable refuses a table that would show the rows of a protected one', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const { admin: db } = database
  await sql`create table prices (user_id text, id int)`.execute(db)
  await sql`create table own_prices (user_id text, id int, primary key (user_id, id))`.execute(db)
  await protectTable(db, 'own_prices')
  await sql`alter table own_prices inherit prices`.execute(db)
  await expect(shareTable(db, 'prices')).rejects.toThrow('prices cannot be shared')
})

test('shareTable accepts a partitioned table', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const { admin: db, fence, forUser } = database
  await sql`create table prices (price int) partition by list (price)`.execute(db)
  await sql`create table rest partition of prices default`.execute(db)
  await shareTable(db, 'prices')
  await sql`insert into prices values (1)`.execute(db)
  expect((await fence()).gaps).toEqual([])
  expect((await sql`select * from prices`.execute(forUser('alice'))).rows).toEqual([{ price: 1 }])
})

test('protectTable and shareTable revoke what default privileges granted', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const { admin: db, fence } = database
  await sql`alter default privileges grant all on tables to app_user, public`.execute(db)
  await sql`create table notes (user_id text primary key, body text)`.execute(db)
  await sql`create table prices (id int)`.execute(db)
  await shareTable(db, 'notes')
  await protectTable(db, 'notes')
  await shareTable(db, 'prices')
  expect((await fence()).gaps).toEqual([])
})
