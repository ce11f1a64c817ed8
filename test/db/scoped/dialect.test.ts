import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databaseKinds, openTestDatabase } from '../../parts/database.js'

type Handle = ReturnType<Awaited<ReturnType<typeof openTestDatabase>>['forUser']>

const insert = (handle: Handle, title: string, user?: string) =>
  handle
    .insertInto('tasks')
    .values({ id: crypto.randomUUID(), title, ...(user !== undefined && { user_id: user }) })
    .returning(['user_id', 'title'])
    .executeTakeFirstOrThrow()

describe.each(databaseKinds)('a scoped handle on %s', kind => {
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

  test('sees nothing for a user without rows, with whatever name', async () => {
    for (const name of ['carol', 'Alice', ' alice', 'alice ', '%', '*', 'postgres', 'app_user', "'", '🦊']) {
      expect(await database.forUser(name).selectFrom('tasks').selectAll().execute()).toEqual([])
    }
  })

  test("writes the caller's rows, and the caller is the default of user_id", async () => {
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
  ])('is refused %s for another user', async (_, text) => {
    const call = sql`${sql.raw(text)}`.execute(alice)
    await expect(call).rejects.toMatchObject({ code: '42501' })
  })

  test.each([
    ['an update', "update tasks set title = 'taken' where user_id = 'bob'"],
    ['an update of all', "update tasks set notes = 'seen'"],
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
  ])("does not reach another's rows with %s", async (_, text) => {
    const before = await bob.selectFrom('tasks').selectAll().execute()
    await sql`${sql.raw(text)}`.execute(alice)
    expect(await bob.selectFrom('tasks').selectAll().execute()).toEqual(before)
    expect(await alice.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'hers' }])
  })

  test.each([
    'select * from trpc_bearer_migration',
    "insert into trpc_bearer_migration values ('x', 'y')",
    'select * from pg_catalog.pg_authid',
    'select pg_read_file(current_setting($$config_file$$))',
    'select trpc_bearer.user_id() from trpc_bearer_migration',
  ])('has no business elsewhere: %s', async text => {
    await expect(sql`${sql.raw(text)}`.execute(alice)).rejects.toMatchObject({ code: '42501' })
  })

  test('knows the caller and runs as the role, however often and for however many at once', async () => {
    const names = Array.from({ length: 60 }, (_, number) => `user ${number % 7}`)
    const seen = await Promise.all(
      names.map(async name => {
        const { rows } = await sql<{ id: string; role: string }>`
          select trpc_bearer.user_id() as id, current_user as role`.execute(database.forUser(name))
        return rows
      }),
    )
    expect(seen).toEqual(names.map(id => [{ id, role: 'app_user' }]))
  })

  test.each([
    ['empty', ''],
    ['of 256 characters', 'a'.repeat(256)],
    ['of 256 characters beyond the basic plane', '🦊'.repeat(256)],
    ['with a NUL', 'alice\0'],
    ['with a lone surrogate', 'alice\ud83e'],
  ])('is not made for a user id that is %s', (_, id) => {
    expect(() => database.forUser(id)).toThrow()
  })

  test.each([
    ['255 characters', 'a'.repeat(255)],
    ['255 characters beyond the basic plane', '🦊'.repeat(255)],
    ['quotes, line breaks and dollars', `o'"\\ \n\t$1 $$ -- /*`],
    ['spaces around', '  alice  '],
  ])('takes a user id of %s as it is', async (_, id) => {
    expect(await insert(database.forUser(id), 'theirs')).toEqual({ user_id: id, title: 'theirs' })
    expect(await database.forUser(id).selectFrom('tasks').select('user_id').execute()).toEqual([
      { user_id: id },
    ])
    await database.forUser(id).deleteFrom('tasks').execute()
  })
})

describe.each(databaseKinds)('the role without an identity on %s', kind => {
  test('sees no rows and writes none: never set, set in a transaction before, or empty', async () => {
    await using database = await openTestDatabase(kind)
    await insert(database.forUser('alice'), 'hers')
    for (const before of [
      sql`select 1`,
      sql`select set_config('app.user_id', 'alice', true)`,
      sql`select set_config('app.user_id', '', false)`,
    ]) {
      await database.admin.connection().execute(async connection => {
        await before.execute(connection)
        await sql`set role app_user`.execute(connection)
        try {
          expect(await connection.selectFrom('tasks').selectAll().execute()).toEqual([])
          for (const user of [undefined, '', 'alice']) {
            const refusal = { code: expect.stringMatching(/^(42501|23502)$/) }
            await expect(insert(connection, 'forged', user)).rejects.toMatchObject(refusal)
          }
          expect((await connection.deleteFrom('tasks').executeTakeFirst()).numDeletedRows).toBe(0n)
        } finally {
          await sql`reset role`.execute(connection)
        }
        expect(await connection.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'hers' }])
      })
    }
  })
})
