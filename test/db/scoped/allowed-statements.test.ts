import { sql } from 'kysely'
import { expect, test } from 'vitest'
import {
  refuseConditionalUpsert,
  requireQuery,
  StatementRefusedError,
} from '../../../db/scoped/allowed-statements.js'
import { openTestDatabase } from '../../parts/database.js'
import { waitFor } from '../../parts/wait-for.js'

test.each([
  'select 1',
  'SELECT 1',
  '\t\r\n\f\v select 1',
  '((select 1) union (select 2))',
  '-- set role\nselect 1',
  '--\rselect 1',
  '/* a /* nested */ comment */ select 1',
  '/**/select/**/1',
  'with a as (select 1) select * from a',
  'values (1)',
  'table tasks',
  'merge into tasks using tasks t on false when matched then do nothing',
  'explain select 1',
  'explain analyze verbose select 1',
  'EXPLAIN (ANALYZE, FORMAT json) UPDATE tasks SET title = title',
  'explain (select 1)',
  'explain /* why */ (costs off) /* not */ with a as (select 1) table a',
])('is accepted as a query: %s', text => {
  expect(() => requireQuery(text)).not.toThrow()
})

test.each([
  '',
  ';',
  ';select 1',
  '-- select 1',
  '/* select 1',
  '/* /* */ select 1',
  '/* /* select */ */ reset role',
  '--\r\n reset role',
  'set role none',
  'reset role',
  'commit',
  'begin',
  'end',
  'abort',
  'savepoint s',
  'do $$ begin end $$',
  'call p()',
  'prepare s as select 1',
  'execute s',
  'deallocate s',
  'discard all',
  'declare c cursor for select 1',
  'fetch c',
  'copy tasks to stdout',
  'listen l',
  'lock tasks',
  'create temp table t ()',
  'selects',
  'select_ 1',
  'selecté 1',
  '"select" 1',
  'explain',
  'explain execute s',
  'explain analyze execute s',
  'explain (analyze) execute s',
  'explain (analyze) create table t as select 1',
  'explain analyze (execute s)',
  'explain (analyze /*) select */) execute s',
  "explain (format ')') execute s",
  'select 1 as "a\0b"',
])('is refused: %s', text => {
  expect(() => requireQuery(text)).toThrow(StatementRefusedError)
})

if (process.env.LONG_TESTS) {
  test('a statement may have 65,535 values, and not one more', async () => {
    await using database = await openTestDatabase('PostgreSQL')
    const alice = database.forUser('alice')
    const count = (values: number) => {
      const list = Array.from({ length: values }, (_, n) => sql`${n}::int`)
      return sql<{ n: number }>`select cardinality(array[${sql.join(list)}]) as n`
    }
    expect(await count(65_535).execute(alice)).toMatchObject({ rows: [{ n: 65_535 }] })
    await expect(count(65_536).execute(alice)).rejects.toThrow(StatementRefusedError)
    const streamed = async () => {
      for await (const _ of alice
        .selectFrom(sql`(${count(65_536)})`.as('t'))
        .selectAll()
        .stream());
    }
    await expect(streamed()).rejects.toThrow(StatementRefusedError)
  })
}

test('a stream with a chunk size that is not a number of rows is refused, and the next stream works', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const alice = database.forUser('alice')
  const read = async (size: number) => {
    for await (const _ of alice.selectFrom('tasks').selectAll().stream(size));
  }
  for (const size of [0, -1, 1.5, 2 ** 31, 2 ** 32, Number.NaN, Number.POSITIVE_INFINITY]) {
    await expect(read(size), String(size)).rejects.toThrow(StatementRefusedError)
    await read(2 ** 31 - 1)
    await waitFor(() => expect(database.pool()).toEqual({ total: 1, idle: 1, waiting: 0 }))
  }
})

const upsert =
  'insert into notes (id, body) values (1, $1) on conflict (id) do update set body = excluded.body'

test.each([
  `${upsert} where notes.body::int > 0`,
  `${upsert.toUpperCase()} WHERE NOTES.BODY::INT > 0`,
  `with x as (${upsert}/**/where(notes.body::int>0) returning 1) select 1`,
  upsert.replace('do update', 'do/* */update').concat('\nwhere true'),
  'insert into notes values (1) on conflict(id)do update set"body"=$1where true',
  'insert into notes values (1) on conflict(id)do update set body=1where(true)',
  `explain analyze ${upsert} where true`,
])('with a signed identity a conditional upsert is refused: %s', text => {
  expect(() => refuseConditionalUpsert(text)).toThrow(StatementRefusedError)
})

test.each([
  upsert,
  'insert into notes (id) select id from drafts where sent on conflict do nothing returning updated_at',
  'insert into notes (id) select id from drafts where sent on conflict (id) do update set body = excluded.body',
  'update conflicts set done = true',
  'select "conflict_id", "domain", "updated_at", "settings" from notes where true',
  'insert into conflict_ do_ update_ settings nowhere',
])('with a signed identity another statement is not: %s', text => {
  expect(() => refuseConditionalUpsert(text)).not.toThrow()
})
