import { isDeepStrictEqual } from 'node:util'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { protectTable, shareTable } from '../../../db/index.js'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'
import { isolationMutants } from '../../parts/isolation-mutants.js'
import {
  createOwnedTables,
  lastTable,
  type OwnerKind,
  ownerKinds,
  ownerKindsOfThisRun,
  owners,
  twoCallers,
} from '../../parts/owner-kinds.js'
import { someOf } from '../../parts/some-of.js'

const isFull = (kind: OwnerKind) =>
  kind.name === 'text' || (process.env.LONG_TESTS !== undefined && ownerKindsOfThisRun.includes(kind))
/** In `npm test` many cases with an owner that is a text, and a few with other owners. */
const runs = kindsOfThisRun.flatMap(on =>
  ownerKinds
    .filter(kind => isFull(kind) || ownerKindsOfThisRun.includes(kind))
    .map(kind => ({ on, kind, owner: kind.name })),
)

/** Breaches that show whether a row of another user exists. */
const breaches = isolationMutants
  .filter(({ name }) => /^the policy (were open|did not check)/.test(name))
  .map(mutant => [mutant.name, mutant] as const)

// Keys depend on the type of the column, not on whose value it holds.
const keyRuns = runs.filter(({ kind }) => kind.tables.length === 1 && (isFull(kind) || kind.name === 'uuid'))

describe.each(keyRuns)('the keys of a table on $on, owner: $owner', ({ on, kind }) => {
  const { owner, type, by } = lastTable(kind)
  const isText = type === 'text' || type.startsWith('varchar')
  /** A statement or a message with the owner of this kind. */
  const here = (text: string) =>
    text.replaceAll(/\b(user_id|other|friend) text/g, `$1 ${type}`).replaceAll(/\buser_id\b/g, owner)
  const some = <T extends readonly string[]>(cases: readonly T[]): readonly T[] => {
    const fitting = cases.filter(([name = '']) => isText || !name.includes('Alice'))
    return someOf(fitting, isFull(kind) ? 4 : 10)
  }
  const protect = (table: string) => protectTable(database.admin, table, { owner, by })
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase(on, { owners })
    await run(`create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(async () => {
    await run('drop schema if exists door cascade')
    await run('create schema door')
    await run(`create table door.people (id ${type} primary key)`)
    await run(
      `create table door.notes (user_id text, id int, body text, other text, primary key (user_id, id))`,
    )
    await protect('door.notes')
  })
  const run = (text: string) => sql.raw(here(text)).execute(database.admin)

  test.each(
    some([
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
    ]),
  )('are refused by protectTable if it has %s', async (_, statements) => {
    for (const statement of statements.split('; ')) await run(statement)
    await expect(protect('door.bad')).rejects.toThrow('door.bad cannot be protected')
  })

  test.each(
    some([
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
        'create table door.bad (user_id text, id int); create unique index tells on door.bad ((user_id::text || id))',
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
    ]),
  )('have a note, and protectTable accepts them: %s', async (_, statements, key, better) => {
    for (const statement of statements.split('; ')) await run(statement)
    await protect('door.bad')
    const { gaps, notes } = await database.fence()
    expect(gaps).toEqual([])
    expect(notes).toEqual([
      {
        object: 'door.bad',
        problem: `its key door.${here(key)} does not start with ${owner}, so a caller can find out whether a value exists in somebody's row`,
        fix: expect.stringContaining(
          '-- no problem if nobody can guess the values (random ids); else use instead: ',
        ),
      },
    ])
    const [, instead = ''] = notes[0]?.fix.split(' use instead: ') ?? []
    const plain = (text: string) =>
      text.replaceAll(/::text|^create unique index concurrently on |;$/g, '').replaceAll(`(${owner})`, owner)
    expect(plain(instead)).toBe(plain(here(better)))
    await run(instead)
    expect((await database.fence()).notes).toEqual(notes)
  })

  test('have a note, and protectTable accepts them: a key of a partitioned table', async () => {
    await run('create table door.bad (user_id text, id int primary key) partition by list (id)')
    await run('create table door.part partition of door.bad default')
    await protect('door.bad')
    const { gaps, notes } = await database.fence()
    expect(gaps).toEqual([])
    expect(notes).toEqual([
      expect.objectContaining({ problem: expect.stringContaining('its key door.bad_pkey') }),
    ])
    const [, instead = ''] = notes[0]?.fix.split(' use instead: ') ?? []
    expect(instead).toBe(here('create unique index on door.bad (user_id, id);'))
    await run(instead)
  })

  test.each(
    some([
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
    ]),
  )('have a note, and protectTable accepts them: a foreign key %s', async (_, statement, target) => {
    await run(statement)
    await protect('door.bad')
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

  test('have a note: a foreign key between the rows of a user and those of an organisation', async () => {
    await run(
      'create table door.bad (friend text, id int, constraint tells foreign key (friend, id) references door.notes (user_id, id) on delete cascade)',
    )
    const other = by === 'user' ? 'org' : 'user'
    await protectTable(database.admin, 'door.bad', { owner: 'friend', by: other })
    expect((await database.fence()).notes).toMatchObject([
      {
        object: 'door.bad',
        problem: expect.stringContaining('its foreign key tells leads to rows of others'),
      },
    ])
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
    await protect('door.good')
    expect(await database.fence()).toMatchObject({ gaps: [], notes: [] })
  })

  test.each(
    some([
      ['a unique key', 'create unique index on door.notes (body)', 'its key'],
      [
        'a foreign key',
        'alter table door.notes add constraint known foreign key (other) references door.people',
        'its foreign key known',
      ],
    ]),
  )('are checked again: %s that was added later has a note', async (_, statement, problem) => {
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
        fix: '-- no problem if nobody can guess the values (random ids); else use instead: the same with user_id, compared by =, in front',
      },
    ],
  })
  await run('drop table stays')
  await table('=')
  await protectTable(database.admin, 'stays')
  expect(await database.fence()).toMatchObject({ gaps: [], notes: [] })
})

describe.each(runs)("another user's row on $on, owner: $owner", ({ on, kind }) => {
  const table = lastTable(kind)
  const { attacker, victim } = twoCallers(kind, table)
  const there = '11111111-1111-1111-1111-111111111111'
  const missing = '22222222-2222-2222-2222-222222222222'
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase(on, { owners })
    await createOwnedTables(database, { tables: [table] })
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(async () => {
    await sql`delete from ${sql.table(table.name)}`.execute(database.admin)
    await add(victim, there, 'his')
    await add(attacker, crypto.randomUUID(), '1')
  })
  const add = ({ user }: typeof attacker, id: string, title: string) =>
    sql`insert into ${sql.table(table.name)} (id, title) values (${id}, ${title})`.execute(
      database.forUser(user),
    )
  const answer = (text: string, id: string) =>
    sql
      .raw(
        text
          .replaceAll('tasks', table.name)
          .replaceAll('user_id', table.owner)
          .replaceAll("'bob'", `'${victim.owner}'::${table.type}`)
          .replaceAll('ID', id),
      )
      .execute(database.forUser(attacker.user))
      .catch(({ code, message, detail, constraint }) => ({ code, message, detail, constraint }))
  const statements = [
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
  ]

  test.each(someOf(statements, isFull(kind) ? 4 : 10))(
    'looks the same as a missing row to: %s',
    async text => {
      expect(await answer(text, there)).toEqual(await answer(text, missing))
      const { rows } = await sql`select title from ${sql.table(table.name)} order by title`.execute(
        database.admin,
      )
      expect(rows).toEqual([{ title: '1' }, { title: 'his' }])
    },
  )

  test.each(someOf(breaches, 3))('the test above would fail if %s', async (_, { breach }) => {
    await breach(database, { ...kind, tables: [table] })
    const differing: string[] = []
    for (const text of statements) {
      const isSame = isDeepStrictEqual(await answer(text, there), await answer(text, missing))
      if (!isSame) differing.push(text)
    }
    await protectTable(database.admin, table.name, table)
    expect(differing).not.toEqual([])
  })
})
