import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type OpenDatabase, openDatabase, protectTable } from '../../../db/index.js'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'
import { type Owned, openMigrated, ownedDatabase } from '../../parts/logins.js'
import { someOf } from '../../parts/some-of.js'

type Handle = ReturnType<OpenDatabase['forUser']>

/** Injected select lists: PostgreSQL reads `1 insert into temp tasks` as `1 AS "insert" INTO TEMP tasks`. */
const selectLists = [
  '*, 1 insert into temp tasks',
  '*, 1 merge into temporary table tasks',
  '*, 1 as "insert into a" into pg_temp.tasks',
  '*, 1 insert into local temp tasks',
]
const text = (list: string) => `select ${list} from public.tasks`

const ways: [name: string, run: (alice: Handle, list: string) => Promise<unknown>][] = [
  ['a statement', (alice, list) => sql.raw(text(list)).execute(alice)],
  ['the query builder', (alice, list) => alice.selectFrom('tasks').select(sql.raw(list).as('x')).execute()],
  [
    'the query builder, without its alias',
    (alice, list) =>
      alice
        .selectFrom('tasks')
        .select(sql.raw<string>(list) as never)
        .execute(),
  ],
  ['a transaction', (alice, list) => alice.transaction().execute(trx => sql.raw(text(list)).execute(trx))],
  [
    'a kept connection',
    (alice, list) => alice.connection().execute(connection => sql.raw(text(list)).execute(connection)),
  ],
  [
    'a stream',
    async (alice, list) => {
      const query = sql.raw<object>(text(list)).compile(alice)
      for await (const _ of alice.getExecutor().stream(query, 10));
    },
  ],
  ['explain', (alice, list) => sql.raw(`explain analyze ${text(list)}`).execute(alice)],
]

async function expectNothingShared({ admin: db, forUser }: Pick<OpenDatabase, 'admin' | 'forUser'>) {
  const bob = forUser('bob')
  expect(await bob.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'his' }])
  expect(await bob.updateTable('tasks').set({ notes: 'secret' }).executeTakeFirst()).toEqual({
    numUpdatedRows: 1n,
  })
  const { rows } = await sql<{ title: string }>`select title from tasks where notes <> ''`.execute(
    forUser('alice'),
  )
  expect(rows).toEqual([])
  const left = await sql`select relname from pg_class where relnamespace = pg_my_temp_schema()`.execute(db)
  expect(left.rows).toEqual([])
}

async function addTasks({ forUser }: Pick<OpenDatabase, 'forUser'>) {
  for (const [user, title] of [
    ['alice', 'hers'],
    ['bob', 'his'],
  ] as const)
    await forUser(user).insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()
}

describe.each(kindsOfThisRun)('a temporary table of a caller on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase(kind, { poolMax: 1 })
    await addTasks(database)
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each(someOf(ways, 4))('from %s is gone for the next caller', async (_, run) => {
    for (const list of selectLists) {
      await run(database.forUser('alice'), list).catch(() => {})
      await expectNothingShared(database)
    }
  })

  test('hides no table and no type, not even in its own transaction', async () => {
    await database
      .forUser('alice')
      .transaction()
      .execute(async trx => {
        for (const name of ['tasks', 'uuid', 'text', 'pg_class'])
          await sql.raw(`select 'forged'::pg_catalog.text as title into temp ${name}`).execute(trx)
        expect(await trx.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'hers' }])
        const { rows } = await sql`
          select 'a'::text || '' as text, gen_random_uuid()::uuid is not null as uuid,
            exists (select from pg_class where relname = 'tasks') as catalogue`.execute(trx)
        expect(rows).toEqual([{ text: 'a', uuid: true, catalogue: true }])
      })
    await expectNothingShared(database)
  })

  test('exists for the rest of its transaction', async () => {
    const { rows } = await database
      .forUser('alice')
      .transaction()
      .execute(async trx => {
        await sql`select title into temp mine from tasks`.execute(trx)
        return sql`select title from mine`.execute(trx)
      })
    expect(rows).toEqual([{ title: 'hers' }])
    await expectNothingShared(database)
  })

  test('destroys its connection', async () => {
    const pid = async () =>
      (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(database.admin)).rows
    const before = await pid()
    await sql`select title into temp mine from tasks`.execute(database.forUser('alice'))
    expect(database.pool()).toEqual({ total: 0, idle: 0, waiting: 0 })
    if (kind === 'PostgreSQL') expect(await pid()).not.toEqual(before)
  })
})

if (process.env.LONG_TESTS) {
  test('at the level signed, temporary tables of a caller are gone for the next caller too', async () => {
    await using logins: Owned = await ownedDatabase()
    const database = await openMigrated(logins, randomBytes(32).toString('hex'))
    try {
      await addTasks(database)
      for (const [, run] of ways) {
        for (const list of selectLists) {
          await run(database.forUser('alice'), list).catch(() => {})
          expect(await database.forUser('bob').selectFrom('tasks').select('title').execute()).toEqual([
            { title: 'his' },
          ])
        }
      }
      expect(await database.fence()).toEqual({ level: 'signed', gaps: [], notes: [] })
    } finally {
      await database.close()
    }
  })
}

test('a table that a function creates, where only the temporary schema is left, is gone for the next caller', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const run = (text: string) => sql.raw(text).execute(database.admin)
  await run('create schema app; create table app.notes (user_id text, body text)')
  await protectTable(database.admin, 'app.notes')
  await run('revoke all on schema public from public; revoke all on schema public from app_user')
  await run(`create function app.report() returns text language plpgsql as $$ begin
    create table if not exists scratch as select body from app.notes;
    return (select string_agg(body, ', ') from scratch); end $$`)
  await run(`create function app.copy() returns bigint language sql as $$
    select body into scratch from app.notes; select 1::bigint $$`)
  await run("insert into app.notes values ('alice', 'hers'), ('bob', 'his')")
  const [alice, bob] = [database.forUser('alice'), database.forUser('bob')]
  for (const report of ['app.report()', 'app.copy()']) {
    await sql.raw(`select ${report}`).execute(alice)
    const { rows } = await sql<object>`select app.report() as body`.execute(bob)
    expect(rows).toEqual([{ body: 'his' }])
    await expect(sql`select * from scratch`.execute(bob)).rejects.toThrow('does not exist')
  }
})

test.each([
  ["the login's own path", 'alter role current_user reset search_path', 'public'],
  ['a path with pg_temp first', 'set search_path = pg_temp, public', 'public'],
  ['names that must be quoted', 'set search_path = "odd, ""name""", public', '"odd, ""name""", public'],
])('statements find their tables with %s, and temporary ones last', async (_, setting, path) => {
  await using database = await openTestDatabase('PostgreSQL')
  await sql`create schema "odd, ""name"""`.execute(database.admin)
  const name = new URL(database.url ?? '').pathname.slice(1)
  if (setting.startsWith('set ')) await sql.raw(`alter database ${name} ${setting}`).execute(database.admin)
  const again = await openDatabase({ url: database.url ?? undefined })
  onTestFinished(again.close)
  const { rows } = await sql<{ path: string }>`select current_setting('search_path') as path`.execute(
    again.forUser('alice'),
  )
  expect(rows).toEqual([{ path: expect.stringMatching(/(^|, )pg_temp$/) }])
  expect(rows[0]?.path.replace('"$user", ', '')).toBe(`${path}, pg_temp`)
})

test.each([
  [
    'text',
    "declare t text; begin t := upper('x'); return t; end",
    "set_config('search_path', 'pg_temp, pg_catalog, public', true)",
    'X',
  ],
  [
    'payments',
    'declare a payments.amount%type; begin a := 10.49; return a; end',
    "set_config('search_path', 'pg_temp, public', true), 1 as amount",
    '10.49',
  ],
])(
  'a temporary table %s of a statement that fails does not change a function for the next caller',
  async (table, body, path, expected) => {
    await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    await sql`create table payments (amount numeric)`.execute(database.admin)
    await sql
      .raw(`create function answer() returns text language plpgsql as $$ ${body} $$`)
      .execute(database.admin)
    const spoil = sql.raw(`select ${path}, answer(), 1 / (random() * 0)::int into temp ${table}`)
    await expect(spoil.execute(database.forUser('alice'))).rejects.toThrow()
    const { rows } = await sql<object>`select answer() as answer`.execute(database.forUser('bob'))
    expect(rows).toEqual([{ answer: expected }])
  },
)
