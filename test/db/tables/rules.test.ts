import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { protectTable, shareTable } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { someOf } from '../../parts/some-of.js'

describe('protectTable', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase('PostgreSQL')
    await sql`create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`.execute(
      database.admin,
    )
    await sql`create domain email as text`.execute(database.admin)
  })
  afterEach(async () => {
    await sql`drop table notes`.execute(database.admin)
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each([
    ['bytea'],
    ['name'],
    ['character(36)'],
    ['numeric'],
    ['smallint'],
    ['text[]'],
    ['email'],
    ['jsonb'],
  ])('says exactly what is wrong if the owner column is of the type %s', async type => {
    const { admin: db } = database
    await sql.raw(`create table notes (user_id ${type})`).execute(db)
    await expect(protectTable(db, 'notes')).rejects.toThrow(
      `notes cannot be protected: its column user_id has the type ${type} instead of text, varchar, uuid, integer or bigint.`,
    )
  })

  test('says exactly what is wrong if the owner column treats Alice and alice as equal', async () => {
    const { admin: db } = database
    await sql`create table notes (user_id text collate blind primary key)`.execute(db)
    await expect(protectTable(db, 'notes')).rejects.toThrow(
      'notes cannot be protected: the column user_id of notes must have a deterministic collation.',
    )
  })

  test.each([
    [
      'treats Alice and alice as equal',
      'user_id text, unique (user_id), exclude (user_id collate blind with =)',
      'notes_user_id_excl',
    ],
    ['has another column first', 'user_id text, id int, primary key (id, user_id)', 'notes_pkey'],
  ])('accepts a table with a key that %s, and the audit has a note', async (_, columns, key) => {
    const { admin: db } = database
    await sql.raw(`create table notes (${columns})`).execute(db)
    await protectTable(db, 'notes')
    expect(await database.fence()).toMatchObject({
      gaps: [],
      notes: [
        {
          object: 'public.notes',
          problem: expect.stringContaining(`its key public.${key} does not start with user_id`),
        },
      ],
    })
  })

  /** The indexes of the table and its partitions that lead to the rows of an owner. */
  const ownerIndexes = async () => {
    const { rows } = await sql<{ name: string }>`
      select i.indexrelid::regclass::text as name
      from (select 'notes'::regclass as relid union select relid from pg_partition_tree('notes')) t join pg_index i on i.indrelid = t.relid join pg_attribute a on a.attrelid = i.indrelid and a.attname = 'user_id'
      join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam and m.amname = 'btree'
      where i.indkey[0] = a.attnum and i.indpred is null and i.indisvalid and i.indcollation[0] = a.attcollation
      order by 1`.execute(database.admin)
    return rows.map(row => row.name)
  }

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
  ])('creates the index that a table with %s lacks', async (_, partitions, statements) => {
    const { admin: db } = database
    await sql.raw(`create table notes (user_id text, body text) ${partitions}`).execute(db)
    await sql.raw(statements).execute(db)
    const before = await ownerIndexes()
    await protectTable(db, 'notes')
    const after = await ownerIndexes()
    expect(after.length).toBeGreaterThan(before.length)
    await protectTable(db, 'notes')
    expect(await ownerIndexes()).toEqual(after)
    expect((await database.fence()).gaps).toEqual([])
  })

  test.each([
    ['an index', 'create index on notes (user_id)'],
    ['a primary key', 'alter table notes add primary key (user_id, body)'],
    ['a unique key', 'alter table notes add unique (user_id)'],
    ['a descending index of more columns', 'create index on notes (user_id desc, body) include (id)'],
  ])('creates no index if %s starts with the owner', async (_, statement) => {
    const { admin: db } = database
    await sql`create table notes (user_id text, body text, id int)`.execute(db)
    await sql.raw(statement).execute(db)
    const before = await ownerIndexes()
    await protectTable(db, 'notes')
    expect(await ownerIndexes()).toEqual(before)
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

test('shareTable refuses a table that would show the rows of a child of a protected one', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const { admin: db } = database
  await sql`create table prices (user_id text, id int)`.execute(db)
  await sql`create table own_prices (user_id text, id int, primary key (user_id, id))`.execute(db)
  await protectTable(db, 'own_prices')
  await sql`create table old_prices () inherits (own_prices, prices)`.execute(db)
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
  expect(await fence()).toMatchObject({ gaps: [], notes: [] })
})

describe('a foreign key that can give a row to another owner', () => {
  const members = 'create table members (id text primary key, org text)'
  const notes = (actions: string) =>
    `create table notes (user_id text references members (id) ${actions}, body text)`
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase('PostgreSQL', { owners: { org: user => user.name } })
  })
  afterEach(async () => {
    await sql`drop table notes, members`.execute(database.admin)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  const run = (text: string) => sql.raw(text).execute(database.admin)
  const shared = { owner: 'org', by: 'org' }

  test.each(
    someOf(['on update cascade', 'on update set default', 'on delete set default', 'on delete set null'], 2),
  )('is refused if callers may write the other table, and a gap if they may later: %s', async actions => {
    await run(members)
    await run(notes(actions))
    await protectTable(database.admin, 'members', shared)
    await expect(protectTable(database.admin, 'notes')).rejects.toThrow(
      'the foreign key notes_user_id_fkey of notes can give a row to another owner, if a caller changes members',
    )
    await run('drop table notes, members')
    await run(members)
    await run(notes(actions))
    await protectTable(database.admin, 'notes')
    await protectTable(database.admin, 'members', shared)
    const { gaps } = await database.fence()
    expect(gaps).toMatchObject([
      { object: 'public.notes', problem: expect.stringContaining('another owner') },
    ])
    for (const { fix } of gaps) await run(fix)
    expect((await database.fence()).gaps).toEqual([])
    await run(`insert into members values ('bob', 'acme'); insert into notes values ('bob', 'his')`)
    const alice = database.forUser({ id: 'alice', name: 'acme' })
    await expect(sql`update members set id = 'alice'`.execute(alice)).rejects.toMatchObject({
      code: '23503',
    })
    await expect(sql`delete from members`.execute(alice)).rejects.toMatchObject({ code: '23503' })
  })

  test('is noticed behind other tables, on a partition of the other table, and on a partition that has the key of its parent', async () => {
    await run(`create table members (id text primary key, org text)`)
    await run('create table handles (name text primary key references members on update cascade)')
    await run('create table notes (user_id text references handles on update cascade, body text)')
    await protectTable(database.admin, 'members', shared)
    const refusal = 'can give a row to another owner, if a caller changes members'
    await expect(protectTable(database.admin, 'notes')).rejects.toThrow(refusal)
    await run('drop table notes, handles, members')

    await run('create table members (id text primary key, org text) partition by range (id)')
    await run('create table members_all partition of members default')
    await run('alter table members enable row level security')
    await run('create table notes (user_id text references members on update cascade, body text)')
    await protectTable(database.admin, 'members_all', shared)
    await expect(protectTable(database.admin, 'notes')).rejects.toThrow(refusal)
    await run('drop table notes, members')

    await run('create table members (id text primary key, org text)')
    await run(
      'create table notes (user_id text references members on update cascade, body text) partition by list (body)',
    )
    await run(
      'create table notes_all partition of notes default; alter table notes enable row level security',
    )
    await protectTable(database.admin, 'members', shared)
    await expect(protectTable(database.admin, 'notes_all')).rejects.toThrow(refusal)
  })

  test('is none if only other columns are set to null', async () => {
    await run('create table members (id text, org text, primary key (id, org))')
    await run(
      'create table notes (user_id text, org text, foreign key (user_id, org) references members on delete set null (org))',
    )
    await protectTable(database.admin, 'members', shared)
    await protectTable(database.admin, 'notes')
    expect((await database.fence()).gaps).toEqual([])
  })

  test.each([
    ['callers may not write the other table', async () => {}],
    [
      'each caller may write only the own row of it',
      () => protectTable(database.admin, 'members', { owner: 'id' }),
    ],
  ])('is no gap if %s', async (_, prepare) => {
    await run(members)
    await run(notes('on update cascade on delete set null'))
    await prepare()
    await protectTable(database.admin, 'notes')
    expect((await database.fence()).gaps).toEqual([])
  })
})

describe('tables that inherit from each other, or are partitions,', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase('PostgreSQL', { owners: { org: user => user.name } })
  })
  afterAll(() => database[Symbol.asyncDispose]())
  afterEach(async () => {
    await sql`drop table docs cascade`.execute(database.admin)
  })
  const shared = { owner: 'org', by: 'org' }
  const children = [
    [
      'a child',
      'create table docs (org text, user_id text, body text)',
      'create table drafts () inherits (docs)',
    ],
    [
      'a partition',
      'create table docs (org text, user_id text, body text) partition by list (body)',
      'create table drafts partition of docs default',
    ],
  ] as const

  test.each(someOf(children, 2))('must have the same owner: %s', async (_, parent, child) => {
    const { admin: db } = database
    await sql.raw(parent).execute(db)
    await sql.raw(child).execute(db)
    await protectTable(db, 'docs', shared)
    await expect(protectTable(db, 'drafts')).rejects.toThrow('belong to another owner (org, by org)')
    await protectTable(db, 'drafts', shared)
    expect((await database.fence()).gaps).toEqual([])
    await expect(protectTable(db, 'docs')).rejects.toThrow('belong to another owner (org, by org)')
  })

  test.each(someOf(children, 2))('are a gap if their owners differ later: %s', async (_, parent, child) => {
    const { admin: db } = database
    await sql.raw(parent).execute(db)
    await sql.raw(child).execute(db)
    await protectTable(db, 'docs', shared)
    const [attach, detach] = child.includes('inherits')
      ? ['inherit docs', 'no inherit docs']
      : ['attach partition drafts default', 'detach partition drafts']
    const alter = (change: string) =>
      sql.raw(`alter table ${child.includes('inherits') ? 'drafts' : 'docs'} ${change}`).execute(db)
    await alter(detach)
    await protectTable(db, 'drafts')
    await alter(attach)
    expect((await database.fence()).gaps.map(({ problem }) => problem).join()).toContain(
      'belong to another owner',
    )
    await sql`drop table drafts`.execute(db)
    expect((await database.fence()).gaps).toEqual([])
  })
})

test('a shared table with a policy of its own shows the rows of a protected child, so it is refused, and a gap', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const { admin: db, fence } = database
  await sql`create table articles (user_id text, body text)`.execute(db)
  await shareTable(db, 'articles')
  await sql`alter table articles enable row level security`.execute(db)
  await sql`create policy everybody on articles for select using (true)`.execute(db)
  await sql`create table drafts () inherits (articles)`.execute(db)
  await expect(protectTable(db, 'drafts')).rejects.toThrow(
    'inherits from articles, which shows its rows to all users',
  )
  await sql`alter table drafts no inherit articles`.execute(db)
  await protectTable(db, 'drafts')
  expect((await fence()).gaps).toEqual([])
  await sql`alter table drafts inherit articles`.execute(db)
  expect((await fence()).gaps.map(({ problem }) => problem).join()).toContain('shows its rows to all users')
})

test.each([
  ['on delete cascade', 'ON DELETE CASCADE'],
  ['on update cascade on delete set null', 'ON UPDATE CASCADE ON DELETE SET NULL'],
])(
  'a foreign key to rows of others %s has a note that says what it does to the rows',
  async (action, shown) => {
    await using database = await openTestDatabase('PostgreSQL')
    const { admin: db } = database
    await sql`create table projects (user_id text, name text primary key)`.execute(db)
    await sql.raw(`create table notes (user_id text, project text references projects ${action})`).execute(db)
    for (const table of ['projects', 'notes']) await protectTable(db, table)
    const { gaps, notes } = await database.fence()
    expect(gaps).toEqual([])
    expect(notes.map(({ problem }) => problem).join()).toContain(
      `Whoever changes or deletes that row also changes or deletes the rows that refer to it: ${shown}`,
    )
  },
)
