import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { protectTable, shareTable } from '../../../db/index.js'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'

describe.each(kindsOfThisRun)('the keys of a table on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase(kind)
    await run(`create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(async () => {
    await run('drop schema if exists door cascade')
    await run('create schema door')
    await run('create table door.people (id text primary key)')
    await run(`create table door.notes (user_id text, id int, body text, primary key (user_id, id))`)
    await protectTable(database.admin, 'door.notes')
  })
  const run = (text: string) => sql.raw(text).execute(database.admin)

  test.each([
    ['no column user_id', 'create table door.bad (id int)'],
    ['only a view', 'create view door.bad as select * from tasks'],
    [
      'a user_id that treats Alice and alice as equal',
      'create table door.bad (user_id text collate blind, id int)',
    ],
    ['a user_id that is truncated', 'create table door.bad (user_id name, id int)'],
    [
      'a parent table that shows its rows',
      'create table door.base (body text); create table door.bad (user_id text) inherits (door.base)',
    ],
    [
      'a parent several levels above that shows its rows',
      `create table door.oldest (body text); create table door.between () inherits (door.oldest);
       alter table door.between enable row level security, force row level security;
       create table door.bad (user_id text) inherits (door.between)`,
    ],
    [
      'an heir whose other parent shows its rows',
      `create table door.bad (user_id text, id int); create table door.base (body text);
       create table door.heir () inherits (door.bad, door.base)`,
    ],
  ])('are refused by protectTable if it has %s', async (_, statements) => {
    for (const statement of statements.split('; ')) await run(statement)
    await expect(protectTable(database.admin, 'door.bad')).rejects.toThrow('door.bad cannot be protected')
  })

  test.each([
    [
      'a primary key',
      'create table door.bad (user_id text, id int primary key)',
      'bad_pkey',
      'door.bad (user_id, id)',
    ],
    [
      'a key over all users',
      'create table door.bad (user_id text, id int unique)',
      'bad_id_key',
      'door.bad (user_id, id)',
    ],
    [
      'a key over some rows of all users',
      'create table door.bad (user_id text, id int, done bool); create unique index tells on door.bad (id) where done',
      'tells',
      'door.bad (user_id, id) where done',
    ],
    [
      'a key on an expression',
      'create table door.bad (user_id text, id int); create unique index tells on door.bad ((user_id || id))',
      'tells',
      'door.bad (user_id, (user_id || id))',
    ],
    [
      'a key that only includes user_id',
      'create table door.bad (user_id text, id int); create unique index tells on door.bad (id) include (user_id)',
      'tells',
      'door.bad (user_id, id)',
    ],
    [
      'a key that treats Alice and alice as equal',
      'create table door.bad (user_id text, id int); create unique index tells on door.bad (user_id collate blind, id)',
      'tells',
      'door.bad (user_id, id)',
    ],
    [
      'a key of the user_id alone that treats Alice and alice as equal',
      'create table door.bad (user_id text, id int); create unique index tells on door.bad (user_id collate blind)',
      'tells',
      'door.bad (user_id)',
    ],
    [
      'a partition with its own key',
      `create table door.bad (user_id text, id int) partition by range (id);
       create table door.part partition of door.bad for values from (1) to (9);
       create unique index tells on door.part (id)`,
      'tells',
      'door.part (user_id, id)',
    ],
    [
      'an inheriting table with its own key',
      'create table door.bad (user_id text, id int); create table door.heir (unique (id)) inherits (door.bad)',
      'heir_id_key',
      'door.heir (user_id, id)',
    ],
  ])('have a note, and protectTable accepts them: %s', async (_, statements, key, better) => {
    for (const statement of statements.split('; ')) await run(statement)
    await protectTable(database.admin, 'door.bad')
    const { gaps, notes } = await database.fence()
    expect(gaps).toEqual([])
    expect(notes).toEqual([
      {
        object: 'door.bad',
        problem: `its key door.${key} does not start with user_id, so a caller can find out whether a value exists in somebody's row`,
        fix: expect.stringContaining(
          '-- no problem if nobody can guess the values (random ids); else use instead: ',
        ),
      },
    ])
    const [, instead = ''] = notes[0]?.fix.split(' use instead: ') ?? []
    expect(instead.replaceAll(/::text|^create unique index concurrently on |;$/g, '')).toBe(better)
    await run(instead)
    expect((await database.fence()).notes).toEqual(notes)
  })

  test('have a note, and protectTable accepts them: a key of a partitioned table', async () => {
    await run('create table door.bad (user_id text, id int primary key) partition by list (id)')
    await run('create table door.part partition of door.bad default')
    await protectTable(database.admin, 'door.bad')
    const { gaps, notes } = await database.fence()
    expect(gaps).toEqual([])
    expect(notes).toEqual([
      expect.objectContaining({ problem: expect.stringContaining('its key door.bad_pkey') }),
    ])
    const [, instead = ''] = notes[0]?.fix.split(' use instead: ') ?? []
    expect(instead).toBe('create unique index on door.bad (user_id, id);')
    await run(instead)
  })

  test.each([
    [
      'to rows of other users',
      'create table door.bad (user_id text, id int, other text, constraint tells foreign key (other, id) references door.notes (user_id, id))',
      'door.notes',
    ],
    [
      'to a table that callers may not read',
      'create table door.bad (user_id text, friend text constraint tells references door.people)',
      'door.people',
    ],
  ])('have a note, and protectTable accepts them: a foreign key %s', async (_, statement, target) => {
    await run(statement)
    await protectTable(database.admin, 'door.bad')
    expect(await database.fence()).toMatchObject({
      gaps: [],
      notes: [
        {
          object: 'door.bad',
          problem: `its foreign key tells leads to rows of others in ${target}, so a caller can find out whether such a row exists`,
          fix: '-- no problem if nobody can guess the values (random ids); else let the key contain the owner column of both tables',
        },
      ],
    })
  })

  test('may be of any kind within the rows of one user', async () => {
    await run('create table door.colours (name text primary key)')
    await shareTable(database.admin, 'door.colours')
    await run(`create table door.good (
      user_id text not null references door.people on delete cascade, id int, note int, done bool,
      colour text references door.colours, primary key (user_id, id),
      foreign key (user_id, note) references door.notes (user_id, id) on delete cascade on update cascade
    ) partition by hash (user_id)`)
    await run('create table door.half partition of door.good for values with (modulus 2, remainder 0)')
    await run('create table door.rest partition of door.good for values with (modulus 2, remainder 1)')
    await run('create unique index on door.good (user_id, lower(colour))')
    await run('create unique index on door.half (user_id, note) where done')
    await run('alter table door.half add exclude using hash (user_id with =)')
    await protectTable(database.admin, 'door.good')
    expect(await database.fence()).toMatchObject({ gaps: [], notes: [] })
  })

  test.each([
    ['a unique key', 'create unique index on door.notes (body)', 'its key'],
    [
      'a foreign key',
      'alter table door.notes add constraint known foreign key (body) references door.people',
      'its foreign key known',
    ],
  ])('are checked again: %s that was added later has a note', async (_, statement, problem) => {
    expect((await database.fence()).notes).toEqual([])
    await run(statement)
    expect(await database.fence()).toMatchObject({
      gaps: [],
      notes: [{ object: 'door.notes', problem: expect.stringContaining(problem) }],
    })
  })
})

// Only on PostgreSQL: the embedded database lacks the extension.
test('an exclusion constraint across users has a note, one within the own rows does not', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (text: string) => sql.raw(text).execute(database.admin)
  await run('create extension btree_gist')
  const table = (operator: string) =>
    run(`
      create table stays (
        user_id text, during int4range, exclude using gist (user_id with ${operator}, during with &&)
      )`)
  await table('<>')
  await protectTable(database.admin, 'stays')
  expect(await database.fence()).toMatchObject({
    gaps: [],
    notes: [
      {
        object: 'public.stays',
        problem: expect.stringContaining('its key public.stays_user_id_during_excl'),
      },
    ],
  })
  await run('drop table stays')
  await table('=')
  await protectTable(database.admin, 'stays')
  expect(await database.fence()).toMatchObject({ gaps: [], notes: [] })
})

describe.each(kindsOfThisRun)("another user's row on %s", kind => {
  const there = '11111111-1111-1111-1111-111111111111'
  const missing = '22222222-2222-2222-2222-222222222222'
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase(kind)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(async () => {
    await database.admin.deleteFrom('tasks').execute()
    await database.forUser('bob').insertInto('tasks').values({ id: there, title: 'his' }).execute()
    await database
      .forUser('alice')
      .insertInto('tasks')
      .values({ id: crypto.randomUUID(), title: '1' })
      .execute()
  })

  test.each([
    "insert into tasks (user_id, id, title) values ('bob', 'ID', 'x')",
    "insert into tasks (user_id, id, title) values ('bob', 'ID', 'x') on conflict do nothing",
    "insert into tasks (user_id, id, title) values ('bob', 'ID', 'x') on conflict (user_id, id) do update set title = 'x'",
    "update tasks set user_id = 'bob', id = 'ID'",
    `merge into tasks using (select 'bob' as name, 'ID'::uuid as id) as new on (user_id, tasks.id) = (new.name, new.id)
     when not matched then insert (user_id, id, title) values (new.name, new.id, 'x')`,
    `merge into tasks using (select 'ID'::uuid as id) as new on true when matched then update set user_id = 'bob', id = new.id`,
    "with moved as (delete from tasks returning title) insert into tasks (user_id, id, title) select 'bob', 'ID', title from moved",
    "update tasks set title = 'x' where user_id = 'bob' and id = 'ID' returning id",
    "delete from tasks where user_id = 'bob' and id = 'ID' returning id",
    "select title::int from tasks where id = 'ID'",
    "select 1 / (length(title) - 3) from tasks where id = 'ID' for update",
    "insert into tasks (id, title) select id, title from tasks where id = 'ID'",
  ])('looks the same as a missing row to: %s', async text => {
    const answer = (id: string) =>
      sql
        .raw(text.replaceAll('ID', id))
        .execute(database.forUser('alice'))
        .catch(({ code, message, detail, constraint }) => ({ code, message, detail, constraint }))
    expect(await answer(there)).toEqual(await answer(missing))
    const titles = await database.admin.selectFrom('tasks').select('title').orderBy('title').execute()
    expect(titles).toEqual([{ title: '1' }, { title: 'his' }])
  })
})
