import { sql } from 'kysely'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { mayLeaveBehind } from '../../../db/scoped/session-cleanup.js'
import { readSessionFacts } from '../../../db/scoped/session-facts.js'
import { openTestDatabase } from '../../parts/database.js'

let database: Awaited<ReturnType<typeof openTestDatabase>>
beforeAll(async () => {
  database = await openTestDatabase('PostgreSQL')
  return () => database[Symbol.asyncDispose]()
})

const run = (statements: string) => sql.raw(statements).execute(database.admin)
beforeEach(async () => void (await run('create schema own; set search_path = own, public')))
afterEach(async () => {
  await run('drop schema own cascade; reset search_path')
  await run(
    'drop extension if exists "uuid-ossp"; drop extension if exists pg_trgm; drop extension if exists tablefunc',
  )
})

/** Whether the session is cleaned after this statement. */
async function isCleaned(statement = 'select * from things') {
  const facts = await readSessionFacts(database.admin)
  return facts.hasSideEffects || mayLeaveBehind(statement, facts.functions)
}

const german = "set_config('DateStyle', 'German', false)"
const remember = (name: string, more = 'language sql return') =>
  `create function ${name}(a text) returns text ${more} ${german}`

describe('the session is cleaned after a statement that calls', () => {
  test.each<[what: string, setUp: string, statement?: string]>([
    ['a function of the application', remember('remember'), "select remember('x')"],
    [
      'one that calls it',
      `${remember('remember')}; create function outer_one(a text) returns text return remember(a)`,
      "select outer_one('x')",
    ],
    [
      'one that is wrongly immutable',
      remember('wrong', 'immutable language sql return'),
      "select wrong('x')",
    ],
    [
      'a procedure inside of a function',
      `create procedure p() language sql as $$ select ${german} $$;
      create function calls() returns void language plpgsql as $$ begin call p(); end $$`,
      'select calls()',
    ],
    ['one whose name has several words', remember('"two words"'), `select "two words"('x')`],
    ['one whose name is not of ASCII letters', remember('"Σ"'), "select Σ('x')"],
    ['one whose name has 63 bytes', remember('a'.repeat(63)), `select ${'a'.repeat(63)}('x')`],
    [
      'one that opens a cursor',
      `create function report() returns void language sql as $$ declare r scroll cursor with hold for select 1 $$`,
      'select report()',
    ],
    [
      'one that runs a block',
      String.raw`create function act() returns void language plpgsql as $$ begin do U&'begin perform set\005Fconfig(''a.b'', ''c'', false); end'; end $$`,
      'select act()',
    ],
    [
      'one whose tables are temporary',
      'create function stage() returns void language plpgsql set search_path = pg_temp as $$ begin create table zz (); end $$',
      'select stage()',
    ],
    ...['table if not exists zz ()', 'view zz as select 1', 'sequence zz'].map(
      (object): [string, string, string] => [
        `one that creates a ${object}`,
        `create function makes() returns void language plpgsql as $$ begin create ${object}; end $$`,
        'select makes()',
      ],
    ),
    ...["';'", '"a;b"', '$q$;$q$', '/* ; */ 1', '1 -- ;\n'].map((value): [string, string, string] => [
      `one that selects into a table, with ${JSON.stringify(value)} before`,
      `set check_function_bodies = off; create function copies() returns bigint language sql as $f$ select ${value} as a into zz; select 1::bigint $f$`,
      'select copies()',
    ]),
    [
      'one that inserts and selects into a table',
      'set check_function_bodies = off; create function copies() returns bigint language sql as $$ insert into tasks (id, title) select id, title from tasks; select 1 as a into zz; select 1::bigint $$',
      'select copies()',
    ],
    [
      'one that selects into a table',
      `create function copies() returns bigint language sql as $$ select user_id into zz from tasks; select 1::bigint $$`,
      'select copies()',
    ],
    [
      'one with a line separator in a comment',
      `create function later() returns text language plpgsql as $$ begin return -- it\u2028's\n ${german}; -- '\n end $$`,
      'select later()',
    ],
    [
      'an aggregate',
      `create function keep(state text, value text) returns text language sql return ${german}; create aggregate remembered(text) (sfunc = keep, stype = text)`,
    ],
    [
      'an aggregate over a window',
      `create function first_of(a text, b text, c bool) returns text return a;
      create aggregate kept(text, bool) (sfunc = first_of, stype = text, msfunc = set_config, minvfunc = set_config, mstype = text)`,
    ],
    [
      'an index',
      `create function compare(a text, b text) returns int immutable language plpgsql as $$ begin perform ${german}; return bttextcmp(a, b); end $$;
      create operator class own_text for type text using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 compare(text, text)`,
    ],
    [
      'a default that tells about the last caller',
      "create sequence s; create table lines (id bigint default currval('s'))",
    ],
    ['a view that tells about the last caller', 'create view numbers as select lastval()'],
    [
      'a default that tells about the next caller',
      'create table codes (code text default md5(random()::text))',
    ],
    ['a view that changes settings', 'create view my_settings as select * from pg_settings'],
    [
      'an extension in a view',
      `create extension tablefunc; create view ct as select * from crosstab('select 1, 2, 3') as ct(a int, b int)`,
    ],
    [
      'an extension in a default',
      `create extension pg_trgm; create table limits (id real default set_limit(0.3))`,
    ],
  ])('%s', async (_, setUp, statement) => {
    expect(await isCleaned(statement)).toBe(false)
    await run(setUp)
    expect(await isCleaned(statement)).toBe(true)
  })
})

test.each([
  ['a serial key', 'create table things (id serial)'],
  [
    'a trigger that sets a time',
    `create function touch() returns trigger language plpgsql as $$ begin new.updated_at = now(); return new; end $$;
    create table things (id int, updated_at timestamptz); create trigger t before update on things for each row execute function touch()`,
  ],
  [
    'random keys',
    'create extension "uuid-ossp"; create table things (id uuid default uuid_generate_v4(), other uuid default gen_random_uuid())',
  ],
  [
    'a search by similarity',
    'create extension pg_trgm; create table things (title text); create index on things using gin (title gin_trgm_ops)',
  ],
  [
    'a function of its own',
    'create table things (); create function twice(n int) returns int language plpgsql as $$ begin return 2 * n; end $$',
    'select twice(2) from things',
  ],
])('a database with %s needs no cleaning', async (_, setUp, statement?: string) => {
  await run(setUp)
  expect(await isCleaned(statement)).toBe(false)
})

test.each([
  ['creates temporary tables', 'plpgsql as $$ begin create temp table zz (); end $$'],
  [
    'creates a table where the search path says',
    'plpgsql as $$ begin create table if not exists zz (); end $$',
  ],
  ['runs any text', 'plpgsql as $$ begin execute query; end $$'],
  [
    'has its tables in the temporary schema',
    'plpgsql set search_path = pg_temp as $$ begin create table zz (); end $$',
  ],
])('a function that %s ends the connection of each caller that had to be cleaned', async (_, definition) => {
  expect((await readSessionFacts(database.admin)).parsesUnderSettings).toBe(false)
  await run(`create function stage(query text) returns void language ${definition}`)
  expect((await readSessionFacts(database.admin)).parsesUnderSettings).toBe(true)
})

test('a function whose variables may have one of two collations ends the connection of each caller that had to be cleaned', async () => {
  await run("create collation names (provider = icu, locale = 'und')")
  await run(
    'create function is_mine(a text) returns boolean language plpgsql as $$ declare x text collate names; begin return true; end $$',
  )
  expect((await readSessionFacts(database.admin)).parsesUnderSettings).toBe(false)
  await run('create schema other')
  await run(
    "create collation other.names (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
  )
  expect((await readSessionFacts(database.admin)).parsesUnderSettings).toBe(true)
})

if (process.env.LONG_TESTS) {
  test('thousands of functions that call each other are read in linear time', async () => {
    const depth = 2_000
    await run(
      `do $do$ begin for n in 1..${depth} loop execute format(
      'create function f%s() returns text language plpgsql as $$ begin return f%s(); end $$', n, n + 1); end loop; end $do$;
    create function f${depth + 1}() returns text language sql return ${german}`,
    )
    expect(await isCleaned('select f1()')).toBe(true)
  }, 20_000)
}
