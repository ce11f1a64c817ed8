import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { protectTable } from '../../../db/index.js'
import { bodyMayLeaveBehind, mayLeaveBehind } from '../../../db/scoped/session-cleanup.js'
import { readSessionFacts } from '../../../db/scoped/session-facts.js'
import { kindsOfAllCases, openTestDatabase } from '../../parts/database.js'
import { root } from '../../parts/program.js'
import { someOf } from '../../parts/some-of.js'

/** Some of those that the catalogue of a database names. */
const functions = new Set(
  'set_config pg_advisory_lock pg_try_advisory_lock setseed ts_stat query_to_xml currval odd\u00e9 remember'.split(
    ' ',
  ),
)

test.each([
  'select * from "tasks" where "user_id" = $1 and "id" in ($2, $3) order by "created_at" desc limit $4',
  'insert into "tasks" ("user_id", "id") values ($1, $2) on conflict ("user_id", "id") do update set "version" = "tasks"."version" returning *',
  'insert into billing."invoices" (id) values ($1)',
  'update "tasks" set "title" = $1, "updated_at" = now(), "version" = "version" + $2 where ("id" = $3)',
  'select count(*), coalesce(max(lower("title")), \'\') from "tasks" group by ("completed")',
  'with recent as (select 1) select * from recent where exists (select 1)',
  'merge into "tasks" ("id") using (select 1) as s on false when matched then do nothing',
  "update tasks set title = 'put it into a box' where title like 'into %'",
  'delete from "tasks" where "title" = \'select into\'',
  "select ('abc'::text).upper, (array[1])[1].abs",
  'select "tasks"."title", t.id from "tasks" as t where t."id" in ($1)',
  "select my_function(id), st_area(shape), plainto_tsquery('milk') /* why */ from tasks -- all of them",
  'select cast("id" as varchar(36)), row_number() over (partition by "completed") from "tasks"',
])('certainly leaves nothing behind: %s', text => {
  expect(mayLeaveBehind(text, functions)).toBe(false)
})

test.each([
  "select set_config('a.b', 'c', false)",
  'select pg_advisory_lock(1)',
  'select SET_CONFIG ($1, $2, false)',
  'select "set_config"($1, $2, false)',
  'select *, 1 insert into temp notes from tasks',
  'select *, 1 merge into temporary notes from tasks',
  'select 1 as "insert" into "pg_temp" . notes',
  'select title as "insert into a" into notes from tasks',
  'with x as (select 1) select * , 1 insert into temp notes from x',
  'explain analyze select 1 insert into temp notes',
  '(select 1 insert into temp notes)',
  'select 1/**/into/**/temp/**/notes',
  'select (1::bigint).pg_advisory_lock',
  'select ( 1::bigint ) . "pg_advisory_lock"',
  'select (array[1::bigint])[1].pg_advisory_lock',
  'select $1.pg_advisory_lock',
  'select pg_catalog . pg_advisory_lock (1)',
  'select g.pg_advisory_lock from generate_series(1, 1) g',
  'select g . PG_ADVISORY_LOCK from generate_series(1, 1) g',
  'select g."pg_advisory_lock" from generate_series(1, 1) g',
  `select '."', g.pg_advisory_lock, '"' from abs(1) g`,
  'select "x.".ts_stat from translate($1, $2, $3) "x."',
  `select t.${'n'.repeat(64)} from t`,
  'insert into tasks (id) select u.currval from unnest($1) u',
  `select '"'"set_config"($1, $2, false)`,
  'select U&"set_conf\\0069g"($1, $2, false)',
  'select pg_catalog.set_config($1, $2, false)',
  'select set_config/**/($1, $2, false)',
  'select set_config--\n($1, $2, false)',
  "select query_to_xml('select set_' || 'config(''a.b'', ''c'', false)', true, true, '')",
  "update pg_settings set setting = 'x' where name = 'a.b'",
  'select * into temp tasks from tasks',
  'select 1 INTO tasks',
  'explain analyze select 1 into t',
  'update U&"pg\\005fsettings" set setting = 1',
  `select 'insert into "', set_config('a.b', 'c', false), '"'`,
  `select *, 'insert into "' as junk into temporary tasks from public.tasks where '"' = 'x'`,
  `select 1 where 'merge into a."' = '' or set_config('search_path', 'x', false) || '"' = ''`,
])('may leave something behind: %s', text => {
  expect(mayLeaveBehind(text, functions)).toBe(true)
})

const longTexts: [name: string, part: string, left?: string][] = [
  ['a long name', 'a', 'true'],
  ['spaces', ' '],
  ['many names', 'a '],
  ['quoted names', '"a" '],
  ['quotes', '"'],
  ['quotes in a name', 'a""'],
  ['names of tables', 'insert into a ', 'true'],
  ['fields', ').a'],
  ['quoted fields', '."a'],
]

describe('a megabyte', () => {
  let results: string[]
  beforeAll(async () => {
    // Quadratic time would take minutes, and only another process can be interrupted. It prints one line per text.
    const judge = `import { mayLeaveBehind } from './db/scoped/session-cleanup.ts'
      for (const part of ${JSON.stringify(longTexts.map(([, part]) => part))})
        console.log(mayLeaveBehind('select ' + part.repeat(1_000_000 / part.length), new Set(['b'])))`
    const args = ['--import', 'tsx', '--input-type=module', '--eval', judge]
    const child = promisify(execFile)(process.execPath, args, { cwd: root, timeout: 30_000 })
    const { stdout } = await child.catch(error => error)
    results = stdout.split('\n')
  }, 60_000)

  test.each(longTexts)('of %s is checked in linear time', (name, _, left = 'false') => {
    expect(results[longTexts.findIndex(([text]) => text === name)]).toBe(left)
  })
})

describe.each(kindsOfAllCases)('on one connection of %s', kind => {
  const leftovers = [
    ['a setting', "select set_config('app.user_id', 'bob', false), set_config('DateStyle', 'German', false)"],
    ['a role', "select set_config('role', 'none', false)"],
    ['the role of the application', "select set_config('role', 'app_user', false)"],
    ['a search path', "select set_config('search_path', 'nowhere', false)"],
    [
      'a setting in SQL that a function runs',
      "select query_to_xml('select set_'||'config(''search_path'',''x'',false)',true,true,'')",
    ],
    ['a setting by a view', "update pg_settings set setting = 'German' where name = 'DateStyle'"],
    ['a temporary table', 'select * into temporary tasks from public.tasks'],
    ['a temporary table under the alias of insert', 'select *, 1 insert into temp tasks from public.tasks'],
    ['a temporary table named as a type', 'select 1 as x, 2 merge into temp uuid'],
    [
      'a temporary table that explain makes',
      'explain analyze select *, 1 insert into temp tasks from public.tasks',
    ],
    ['a lock', 'select pg_advisory_lock(42)'],
    ['a lock by a function called as a field', 'select (42::bigint).pg_advisory_lock'],
    [
      'a lock by a function called as a field of an alias',
      'select g.pg_advisory_lock from generate_series(1, 1) g',
    ],
    [
      'a setting in SQL that is run as a field of an alias',
      "select u.ts_stat from translate('select to_tsvector{set_config{''search_path'',''pg_catalog'',false}}','{}','()') u",
    ],
    ['a lock after a quote', `select '."', g.pg_advisory_lock, '"' from generate_series(1, 1) g`],
    [
      'a setting in SQL that is run as a field of a quoted alias',
      `select "x.".ts_stat from translate('select to_tsvector{set_config{''DateStyle'',''German'',false}}','{}','()') "x."`,
    ],
    ["a setting by the application's own function", 'select u.set_tenant from unnest(array[$$x$$]) u'],
  ] as const

  // PGlite does not remember its first login, so a session authorization cannot be reset there.
  const onServer = [
    ['a session authorization', "select set_config('session_authorization', 'app_user', false)"],
  ] as const

  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase(kind, { poolMax: 1 })
    await sql`
      create function set_tenant(tenant text) returns text language sql
        return set_config('DateStyle', 'German', false) || set_config('app.tenant', tenant, false)`.execute(
      database.admin,
    )
  })
  afterAll(() => database[Symbol.asyncDispose]())

  const state = async () => {
    const { rows } = await sql<object>`
      select current_user::text as "user", coalesce(current_setting('app.user_id', true), '') as id, current_setting('search_path') as path,
        current_setting('DateStyle') as style, (select count(*)::int from pg_class where relnamespace = pg_my_temp_schema()) as tables,
        (select count(*)::int from pg_locks join pg_database on pg_database.oid = database
          where locktype = 'advisory' and datname = current_database()) as locks`.execute(database.admin)
    return rows[0]
  }

  test.each(someOf([...leftovers, ...(kind === 'PostgreSQL' ? onServer : [])], 6))(
    '%s of a caller is gone for the next caller',
    async (_, text) => {
      const alice = database.forUser('alice')
      await alice.selectFrom('tasks').select('id').execute()
      const before = await state()
      for (const run of [
        () => sql.raw(text).execute(alice),
        () => alice.transaction().execute(trx => sql.raw(text).execute(trx)),
      ]) {
        await run().catch(() => {})
        expect(await state()).toEqual(before)
        const task = { id: crypto.randomUUID(), title: "bob's" }
        await database.forUser('bob').insertInto('tasks').values(task).execute()
        const { rows } = await sql<{ user_id: string }>`
          select user_id from public.tasks where id = ${task.id}`.execute(database.admin)
        expect(rows).toEqual([{ user_id: 'bob' }])
      }
    },
  )
})

test('a seed that a caller sets does not determine the random numbers of the next caller', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const random = async () => {
    await sql`select setseed(0.5)`.execute(database.forUser('alice'))
    return (await sql`select random()`.execute(database.forUser('bob'))).rows
  }
  expect(await random()).not.toEqual(await random())
})

test('a setting that a window function leaves does not reach the next caller', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  await sql`
    create function remember() returns int language plpgsql window
    as $$ begin perform set_config('work_mem', '1MB', false); return 1; end $$`.execute(database.admin)
  await sql`select remember() over ()`.execute(database.forUser('alice'))
  const { rows } = await sql`select current_setting('work_mem') as memory`.execute(database.forUser('bob'))
  expect(rows).toEqual([{ memory: '4MB' }])
})

if (process.env.LONG_TESTS) {
  test('a caller cannot read the sequence number of the last caller', async () => {
    await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    const run = (statement: string) => sql.raw(statement).execute(database.admin)
    await run('create table invoices (user_id text, id serial, primary key (user_id, id))')
    await protectTable(database.admin, 'invoices')
    const numbers = [
      'lastval()',
      "currval('invoices_id_seq')",
      "(select s.currval from cast('invoices_id_seq' as regclass) s)",
    ]
    const alice = database.forUser('alice')
    const bob = database.forUser('bob')
    const invoice = (handle: typeof alice) => sql`insert into invoices default values`.execute(handle)
    for (const number of numbers) {
      await invoice(alice)
      const ask = (handle: typeof bob) => sql.raw(`select ${number} as number`).execute(handle)
      await expect(ask(bob)).rejects.toThrow()
      await expect(bob.transaction().execute(ask)).rejects.toThrow()
      await expect(bob.connection().execute(ask)).rejects.toThrow()
    }
    const own = await alice.transaction().execute(async trx => {
      await invoice(trx)
      return (await sql<{ number: string }>`select lastval() as number`.execute(trx)).rows
    })
    expect(own).toEqual([{ number: '4' }])
  })
}

test("a caller's settings do not affect the prepared statements of the next caller", async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const due = '2026-06-02 03:00:00+00'
  await database
    .forUser('bob')
    .insertInto('tasks')
    .values({ id: crypto.randomUUID(), title: 'his', due_at: due })
    .execute()
  const dueFrom = (handle: ReturnType<typeof database.forUser>) =>
    sql`select title from tasks where due_at >= '2026-06-02 00:00'`.execute(handle)
  await sql`set timezone = 'UTC'`.execute(database.admin)
  await database
    .forUser('alice')
    .transaction()
    .execute(async trx => {
      await sql`select set_config('TimeZone', 'America/Los_Angeles', true)`.execute(trx)
      for (let n = 0; n < 3; n++) await dueFrom(trx)
    })
  await sql`set timezone = 'UTC'`.execute(database.admin)
  for (let n = 0; n < 3; n++)
    expect((await dueFrom(database.forUser('bob'))).rows).toEqual([{ title: 'his' }])
})

test("a caller's settings do not change how a function of the application is parsed", async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const run = (statement: string) => sql.raw(statement).execute(database.admin)
  await run('create table codes (user_id text, code text, primary key (user_id, code))')
  await protectTable(database.admin, 'codes')
  await run(`
    create function check_code() returns trigger language plpgsql as $$ begin
      if new.code !~ '^\\d+$' then raise 'bad code' using errcode = 'check_violation'; end if;
      return new;
    end $$`)
  await run('create trigger check_code before insert on codes for each row execute function check_code()')
  await database.fence()
  const insert = (user: string, code: string) =>
    sql`insert into codes (code) values (${sql.raw(code)})`.execute(database.forUser(user))
  await sql`select 1 as one into temp fresh`.execute(database.forUser('alice'))
  await insert(
    'alice',
    "case when set_config('standard_conforming_strings', 'off', true) = 'off' then 'd' end",
  ).catch(() => {})
  await insert('bob', "'123'")
  await expect(insert('bob', "'ddd'")).rejects.toMatchObject({ code: '23514' })
})

if (process.env.LONG_TESTS) {
  test("a caller's search path does not decide which type a function of the application uses", async () => {
    await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    const run = (statement: string) => sql.raw(statement).execute(database.admin)
    await run('create schema archive')
    for (const [table, columns] of [
      ['public.payment', 'amount int, note text'],
      ['archive.payment', 'note text, amount int'],
    ] as const) {
      await run(`create table ${table} (user_id text, id int, ${columns}, primary key (user_id, id))`)
      await protectTable(database.admin, table)
    }
    await run(`
    create function note_of(k int) returns text language plpgsql as $$
      declare p payment; begin select * into p from payment where id = k; return p.note; end $$`)
    await database.fence()
    const bob = database.forUser('bob')
    await sql`insert into payment (id, amount, note) values (1, 10, '99')`.execute(bob)
    await sql`select set_config('search_path', 'archive, public', true), note_of(0)`.execute(
      database.forUser('alice'),
    )
    expect((await sql`select note_of(1) as note`.execute(bob)).rows).toEqual([{ note: '99' }])
  })
}

test('a caller cannot predict the random numbers of the next caller', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const session = (user: string) => sql<{ n: number }>`select random() as n`.execute(database.forUser(user))
  const numbers = []
  for (let round = 0; round < 2; round++) {
    await sql`select setseed(0.5)`.execute(database.admin)
    await session('alice')
    numbers.push((await session('bob')).rows)
  }
  expect(numbers[0]).not.toEqual(numbers[1])
})

test.each([
  [
    'a view',
    'create view next_job with (security_invoker) as select id from tasks where pg_try_advisory_lock(42) limit 1; grant select on next_job to app_user',
    'select * from next_job',
  ],
  [
    'a default',
    `create table logs (user_id text, zone text default set_config('TimeZone', 'Asia/Tokyo', false)); PROTECT`,
    'insert into logs default values',
  ],
  [
    'the condition of a trigger',
    `create table logs (user_id text, zone text); create function nothing() returns trigger language plpgsql as 'begin return new; end';
     create trigger t before insert on logs for each row when (set_config('TimeZone', 'Asia/Tokyo', false) <> '') execute function nothing(); PROTECT`,
    'insert into logs (zone) values (1)',
  ],
  [
    'the default of a domain',
    `create domain zone as text default set_config('TimeZone', 'Asia/Tokyo', false); create table logs (user_id text, zone zone); PROTECT`,
    'insert into logs default values',
  ],
  [
    'an operator',
    'create operator @!@ (rightarg = bigint, function = pg_try_advisory_lock); PROTECTNOT',
    'select @!@ 42::bigint',
  ],
  [
    'a check',
    `create table logs (user_id text, zone text check (set_config('TimeZone', zone, false) <> '')); PROTECT`,
    `insert into logs (zone) values ('Asia/Tokyo')`,
  ],
])('a built-in function that %s calls leaves nothing for the next caller', async (_, setUp, text) => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  await sql.raw(setUp.replace(/PROTECT\w*/, '')).execute(database.admin)
  if (setUp.endsWith('PROTECT')) await protectTable(database.admin, 'logs')
  const alice = database.forUser('alice')
  await alice.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'x' }).execute()
  const state = async () => {
    const { rows } = await sql`
      select current_setting('TimeZone') as zone, (select count(*)::int from pg_locks join pg_database on pg_database.oid = database
          where locktype = 'advisory' and datname = current_database()) as locks`.execute(
      database.forUser('bob'),
    )
    return rows
  }
  const before = await state()
  await sql.raw(text).execute(alice)
  expect(await state()).toEqual(before)
})

test('a table with serial and generated keys does not make every statement be cleaned up after', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await sql`create table logs (id serial, other uuid default gen_random_uuid(), at timestamptz default clock_timestamp())`.execute(
    database.admin,
  )
  expect((await readSessionFacts(database.admin)).hasSideEffects).toBe(false)
})

test('a search path that is set on one connection does not become the search path of all callers', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  await sql`set search_path = pg_catalog`.execute(database.admin)
  await database.fence()
  expect(await database.forUser('alice').selectFrom('tasks').select('id').execute()).toEqual([])
})

test.each([
  'begin new.updated_at = now(); return new; end',
  'begin if new.title = old.title then return null; end if; new.version := old.version + 1; return new; end',
  'begin -- set_config() is not called\n insert into audit.log (row_id, body) values (old.id, to_jsonb(old)); return old; end',
  "begin select count(*) into strict n from things where owner = new.owner; if (n > 10) then raise exception 'full'; end if; return new; end",
  'begin update counters set n = n + 1 where id = new.id; return new; end',
])('the body of a function certainly leaves nothing behind: %s', body => {
  expect(bodyMayLeaveBehind(body, functions)).toBe(false)
})

test.each([
  "begin perform set_config('app.last', new.body, false); return new; end",
  'begin create temp table if not exists batch (title text); return new; end',
  'begin perform pg_advisory_lock(42); return new; end',
  'begin n := pg_try_advisory_lock(42); return new; end',
  'begin set search_path = other; return new; end',
  'begin return new; exception when others then set role none; return null; end',
  "begin execute 'set ' || new.body; return new; end",
  'begin new.slug := shop.remember(new.title); return new; end',
  'select remember(body)',
  "begin\n --/* for the audit\n perform set_config('app.last', new.body, false);\n --*/\n return new; end",
  "begin new.body := trim(new.body, ' --'); perform set_config('app.last', new.body, false); return new; end",
  "begin if new.body like '/*%' then return new; end if; perform remember(new.body); return trim('*/'); end",
  "begin x := E'\\' -- '; perform remember(new.body); return new; end",
  'begin /* /* */ perform remember(new.body) */ return new; end',
  'begin x$ := 1; -- $a$\n return remember(new.body); end',
  'begin x := --insert into\n set_config(new.body, new.body, false); return new; end',
  'begin select n.known_volatile into new.kept from notes n; return new; end',
  'begin <<a>> set search_path = x; return new; end',
])('the body of a function may leave something behind: %s', body => {
  expect(bodyMayLeaveBehind(body, new Set([...functions, 'known_volatile']))).toBe(true)
})

describe.each(kindsOfAllCases)('a function that is called without its name on %s', kind => {
  const ways: [way: string, statements: string[]][] = [
    ['a trigger', ['create trigger t before insert on things for each row execute function remember_row()']],
    ['a default', ["alter table things alter other set default remember('by default')"]],
    [
      'a view',
      [
        'create view seen with (security_invoker) as select remember(body) as body from things',
        'grant select on seen to app_user',
      ],
    ],
    ['an operator', ['create operator ?? (leftarg = text, rightarg = text, function = remember_both)']],
    ['a domain', ['create domain code as text check (is_code(value))']],
    [
      'an overloaded harmless name',
      [
        "create function upper(a int) returns text language plpgsql volatile as $$ begin perform set_config('app.last', 'upper', false); return 'x'; end $$",
      ],
    ],
  ]

  test.each(someOf(ways, 7))('leaves nothing for the next caller: %s', async (_, statements) => {
    await using database = await openTestDatabase(kind, { poolMax: 1 })
    const run = (text: string) => sql.raw(text).execute(database.admin)
    const remember = (head: string, value: string, result: string) =>
      run(`create function ${head} language plpgsql volatile as $$ begin
        perform set_config('app.last', ${value}, false); return ${result}; end $$`)
    await run('create table things (user_id text, id int, body text, other text, primary key (user_id, id))')
    await protectTable(database.admin, 'things')
    await remember('remember(t text) returns text', 't', 't')
    await remember('remember_both(a text, b text) returns text', 'b', 'b')
    await remember('is_code(b text) returns boolean', 'b', 'true')
    await remember('remember_row() returns trigger', 'new.body', 'new')
    for (const statement of statements) await run(statement)
    const alice = database.forUser('alice')
    await sql`insert into things (id, body) values (1, 'secret')`.execute(alice)
    if (statements[0]?.startsWith('create view')) await sql`select * from seen`.execute(alice)
    if (statements[0]?.startsWith('create operator'))
      await sql`select body ?? body from things`.execute(alice)
    if (statements[0]?.startsWith('create domain')) await sql`select body::code from things`.execute(alice)
    if (statements[0]?.startsWith('create function upper')) await sql`select upper(1)`.execute(alice)
    const { rows } = await sql<object>`select current_setting('app.last', true) as last`.execute(
      database.forUser('bob'),
    )
    expect(rows).toEqual([{ last: expect.toSatisfy((last: string | null) => !last) }])
  })
})
