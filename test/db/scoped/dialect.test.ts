import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'

type Handle = ReturnType<Awaited<ReturnType<typeof openTestDatabase>>['forUser']>

const insert = (handle: Handle, title: string, user?: string) =>
  handle
    .insertInto('tasks')
    .values({ id: crypto.randomUUID(), title, ...(user !== undefined && { user_id: user }) })
    .returning(['user_id', 'title'])
    .executeTakeFirstOrThrow()

describe.each(kindsOfThisRun)('a scoped handle on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  let alice: Handle
  let bob: Handle
  beforeAll(async () => {
    database = await openTestDatabase(kind)
    alice = database.forUser('alice')
    bob = database.forUser('bob')
    await insert(alice, 'hers')
    await insert(bob, 'his')
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each([
    'select title from tasks',
    "select title from tasks where true or user_id = 'bob'",
    "select title from tasks where user_id in ('alice', 'bob')",
    'select title from only public.tasks',
    'select title from (table tasks) inside',
    'select title from tasks union select title from tasks',
    'select other.title from tasks mine full join tasks other on mine.id <> other.id where other.title is not null',
    'select other.title from (values (1)) one cross join lateral (select * from tasks) other',
    'with all_tasks as materialized (select * from tasks) select title from all_tasks',
    "with touched as (update tasks set notes = 'seen' returning title) select title from touched",
    'select max(title) as title from tasks having count(*) = 1',
    '(select title from tasks order by title desc for update)',
    "select title from tasks where title like '%' order by (select count(*) from tasks t where t.user_id = 'bob')",
  ])("sees the caller's rows only: %s", async text => {
    const { rows } = await sql<{ title: string }>`${sql.raw(text)}`.execute(alice)
    expect(rows).toEqual([{ title: 'hers' }])
  })

  test('sees no rows for another user, whatever the name', async () => {
    for (const name of ['carol', 'Alice', ' alice', 'alice ', '%', '*', 'postgres', 'app_user', "'", '🦊']) {
      expect(await database.forUser(name).selectFrom('tasks').selectAll().execute()).toEqual([])
    }
  })

  test("writes the caller's rows, with the caller as the default of user_id", async () => {
    const carol = database.forUser('carol')
    expect(await insert(carol, 'one')).toEqual({ user_id: 'carol', title: 'one' })
    expect(await insert(carol, 'two', 'carol')).toEqual({ user_id: 'carol', title: 'two' })
    const update = await carol.updateTable('tasks').set({ completed: true }).executeTakeFirst()
    expect(update.numUpdatedRows).toBe(2n)
    const deletion = await carol.deleteFrom('tasks').executeTakeFirst()
    expect(deletion.numDeletedRows).toBe(2n)
  })

  test.each([
    ['an insert', "insert into tasks (user_id, id, title) values ('bob', gen_random_uuid(), 'forged')"],
    [
      'an insert without a user',
      "insert into tasks (user_id, id, title) values ('', gen_random_uuid(), 'forged')",
    ],
    [
      'an upsert',
      `insert into tasks (user_id, id, title) select 'alice', id, title from tasks
       on conflict (user_id, id) do update set user_id = 'bob'`,
    ],
    ['an update of user_id', "update tasks set user_id = 'bob'"],
    [
      'a merge',
      `merge into tasks using (values ('bob')) as other (name) on false
       when not matched then insert (user_id, id, title) values (other.name, gen_random_uuid(), 'forged')`,
    ],
  ])('refuses %s for another user', async (_, text) => {
    const call = sql`${sql.raw(text)}`.execute(alice)
    await expect(call).rejects.toMatchObject({ code: '42501' })
  })

  test.each([
    ['an update', "update tasks set title = 'taken' where user_id = 'bob'"],
    ['an update of all rows', "update tasks set notes = 'seen'"],
    [
      'an update from a join',
      "update tasks set title = 'taken' from tasks other where tasks.user_id = 'bob'",
    ],
    ['a deletion', "delete from tasks where user_id = 'bob'"],
    ['a deletion by a join', "delete from tasks using tasks other where tasks.user_id = 'bob'"],
    [
      'a merge',
      "merge into tasks using (values ('bob')) as other (name) on user_id = name when matched then delete",
    ],
  ])("does not reach another user's rows with %s", async (_, text) => {
    const before = await bob.selectFrom('tasks').selectAll().execute()
    await sql`${sql.raw(text)}`.execute(alice)
    expect(await bob.selectFrom('tasks').selectAll().execute()).toEqual(before)
    expect(await alice.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'hers' }])
  })

  test.each([
    'select * from trpc_bearer.migration',
    "insert into trpc_bearer.migration values ('x', 'y')",
    'select * from pg_catalog.pg_authid',
    'select pg_read_file(current_setting($$config_file$$))',
    'select trpc_bearer.user_id() from trpc_bearer.migration',
  ])('cannot use other tables and functions: %s', async text => {
    await expect(sql`${sql.raw(text)}`.execute(alice)).rejects.toMatchObject({ code: '42501' })
  })
})
