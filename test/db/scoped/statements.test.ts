import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { OpenDatabase } from '../../../db/index.js'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'

type Handle = ReturnType<OpenDatabase['forUser']>

const insert = (handle: Handle, title: string) =>
  handle.insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()
const run = (handle: Handle, text: string) => sql<{ title?: string }>`${sql.raw(text)}`.execute(handle)

describe.each(kindsOfThisRun)('a scoped handle on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  let alice: Handle
  beforeAll(async () => {
    database = await openTestDatabase(kind)
    alice = database.forUser('alice')
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(async () => {
    await database.admin.deleteFrom('tasks').execute()
    await insert(alice, 'hers')
    await insert(database.forUser('bob'), 'his')
  })
  const titles = async () =>
    (await database.admin.selectFrom('tasks').select('title').orderBy('title').execute()).map(
      row => row.title,
    )

  test.each([
    'select 1; reset role',
    'select 1; select title from tasks',
    'select 1; delete from tasks',
    'select 1; commit; delete from tasks',
    'select 1; rollback; reset role; delete from tasks',
    '; delete from tasks',
    'select 1 /* ; */; delete from tasks -- ;',
    "select ';'; delete from tasks",
  ])('refuses a second statement: %s', async text => {
    await expect(run(alice, text)).rejects.toThrow()
    await expect(alice.transaction().execute(trx => run(trx, text))).rejects.toThrow()
    expect(await titles()).toEqual(['hers', 'his'])
  })

  test('refuses a second statement behind one with values', async () => {
    await expect(sql`select ${1}::int; delete from tasks`.execute(alice)).rejects.toThrow()
    expect(await titles()).toEqual(['hers', 'his'])
  })

  test.each([
    'select title from tasks',
    'SELECT title FROM tasks;',
    '\n\t ( ( select title from tasks ) )',
    '/* reset role */ select title from tasks',
    '/* /* nested */ reset role */select title from tasks',
    '-- reset role\nselect title from tasks',
    "with w as (values ('hers')) select column1 as title from w",
    'with recursive w as (select title from tasks) select title from w',
    "update tasks set notes = '' returning title",
    'merge into tasks using (values (1)) one on false when not matched then do nothing',
    'table tasks',
    "values ('hers')",
    'delete from tasks where false',
    'insert into tasks select * from tasks where false',
    'explain select title from tasks',
    'explain (analyze, costs off) update tasks set notes = notes',
  ])('runs a query: %s', async text => {
    await expect(run(alice, text)).resolves.toBeDefined()
  })

  test.each([
    'reset role',
    '  reset session authorization',
    'set role none',
    'set session authorization default',
    "set app.user_id to 'bob'",
    'set search_path to pg_catalog',
    'commit',
    'rollback',
    'release savepoint mine',
    'do $$ begin reset role; end $$',
    'prepare mine as select 1',
    'deallocate all',
    'discard all',
    'declare mine cursor with hold for select 1',
    'copy tasks to stdout',
    'lock table tasks',
    'notify mine',
    'create temporary table mine (id int)',
    'alter table tasks disable row level security',
    'show all',
    'explain analyze execute mine',
    '/* /* select */ */ reset role',
    '-- select\r\n\f\v reset role',
    '"select" 1',
    'selection',
  ])('refuses %s, alone and in a transaction', async text => {
    await expect(run(alice, text)).rejects.toThrow()
    const seen: unknown[] = []
    const call = alice.transaction().execute(async trx => {
      await run(trx, text).finally(async () => {
        const { rows } = await run(trx, 'select title from tasks').catch(() => ({ rows: [] }))
        seen.push(...rows)
      })
    })
    await expect(call).rejects.toThrow()
    expect(seen).not.toContainEqual({ title: 'his' })
    expect((await run(alice, 'select title from tasks')).rows).toEqual([{ title: 'hers' }])
    expect(await titles()).toEqual(['hers', 'his'])
  })
})
