import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase, protectTable, shareTable } from '../../../db/index.js'
import { emptyDatabase, kindsOfThisRun, openTestDatabase } from '../../parts/database.js'
import { migrateAll } from '../../parts/migrate.js'

type Database = Awaited<ReturnType<typeof openTestDatabase>>
type Handle = ReturnType<Database['forUser']>

const insert = (handle: Handle, table: string, body: string) =>
  sql`insert into ${sql.table(table)} (body) values (${body})`.execute(handle)

async function bodies(handle: Handle, table: string) {
  const { rows } = await sql<{ body: string }>`select body from ${sql.table(table)} order by body`.execute(
    handle,
  )
  return rows.map(row => row.body)
}

describe.each(kindsOfThisRun)('a protected table on %s', kind => {
  let database: Database
  let alice: Handle
  let bob: Handle
  const tables = ['notes', 'billing.invoices', 'Odd "name', 'Odd schema.user', `a_name_of_${'x'.repeat(53)}`]
  beforeAll(async () => {
    database = await openTestDatabase(kind)
    alice = database.forUser('alice')
    bob = database.forUser('bob')
    const { admin: db } = database
    await sql`create schema billing`.execute(db)
    await sql`create schema "Odd schema"`.execute(db)
    for (const table of tables) {
      await db.transaction().execute(async trx => {
        // In one transaction, as a migration does. An identity column needs no grant on its sequence.
        await sql`
          create table ${sql.table(table)} (
            user_id text, id bigint generated always as identity, body text not null, primary key (user_id, id)
          )`.execute(trx)
        await protectTable(trx, table)
      })
    }
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each(tables)('shows and accepts only own rows: %s', async table => {
    await insert(alice, table, 'hers')
    await insert(bob, table, 'his')
    expect(await bodies(alice, table)).toEqual(['hers'])
    expect(await bodies(bob, table)).toEqual(['his'])
    const name = sql.table(table)
    await sql`update ${name} set body = 'seen'`.execute(alice)
    await sql`delete from ${name} where user_id = 'bob'`.execute(alice)
    expect(await bodies(bob, table)).toEqual(['his'])
    const forged = sql`insert into ${name} (user_id, body) values ('bob', 'forged')`.execute(alice)
    await expect(forged).rejects.toMatchObject({ code: '42501' })
    const given = sql`update ${name} set user_id = 'bob'`.execute(alice)
    await expect(given).rejects.toMatchObject({ code: '42501' })
    expect(await bodies(database.admin, table)).toEqual(['his', 'seen'])
    await sql`delete from ${name}`.execute(alice)
    expect(await bodies(database.admin, table)).toEqual(['his'])
  })

  test.each(tables)('refuses an empty and a missing user_id, even from the owner: %s', async table => {
    const write = (user: string | null) =>
      sql`insert into ${sql.table(table)} (user_id, body) values (${user}, 'nobody')`.execute(database.admin)
    await expect(write('')).rejects.toMatchObject({ code: '23514' })
    await expect(write(null)).rejects.toMatchObject({ code: '23502' })
    await expect(insert(database.admin, table, 'nobody')).rejects.toMatchObject({ code: '23502' })
  })

  test('has row-level security enabled and forced', async () => {
    const { rows } = await sql`
      select relname, relrowsecurity, relforcerowsecurity from pg_class
      where relname in ('tasks', 'notes', 'invoices') and relkind = 'r' order by relname`.execute(
      database.admin,
    )
    const policy = { relrowsecurity: true, relforcerowsecurity: true }
    expect(rows).toEqual(['invoices', 'notes', 'tasks'].map(relname => ({ relname, ...policy })))
  })

  test('works with the tasks in a transaction and in a join', async () => {
    const carol = database.forUser('carol')
    await carol.transaction().execute(async trx => {
      await trx.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'a task' }).execute()
      await insert(trx, 'notes', 'a note')
    })
    const { rows } = await sql`
      select title, body from tasks full join notes on tasks.user_id = notes.user_id`.execute(carol)
    expect(rows).toEqual([{ title: 'a task', body: 'a note' }])
  })

  test.each(['plain', 'billing.plain', 'closed.plain'])(
    'cannot be reached without protectTable: %s',
    async table => {
      const name = sql.table(table)
      await sql`create schema if not exists closed`.execute(database.admin)
      await sql`create table ${name} (user_id text, body text)`.execute(database.admin)
      await expect(bodies(alice, table)).rejects.toMatchObject({ code: '42501' })
      await expect(insert(alice, table, 'x')).rejects.toMatchObject({ code: '42501' })
      await expect(sql`delete from ${name}`.execute(alice)).rejects.toMatchObject({ code: '42501' })
    },
  )

  test('must exist, with a column user_id', async () => {
    await expect(protectTable(database.admin, 'missing')).rejects.toMatchObject({ code: '42P01' })
    await sql`create table ownerless (body text)`.execute(database.admin)
    await expect(protectTable(database.admin, 'ownerless')).rejects.toThrow('ownerless has no column user_id')
    await expect(bodies(alice, 'ownerless')).rejects.toMatchObject({ code: '42501' })
  })
})

test('protectTable before the migrations says what to run', async () => {
  await using empty = await emptyDatabase()
  const { admin: db, close } = await openDatabase({ url: empty.url })
  try {
    await sql`create table notes (user_id text primary key)`.execute(db)
    await expect(protectTable(db, 'notes')).rejects.toThrow(/migrations of trpc-bearer/)
  } finally {
    await close()
  }
})

test.each([
  [
    'the first schema of the search path',
    ['create schema app', 'alter database DATABASE set search_path = app, public'],
  ],
  ['the schema public, closed to everybody', ['revoke all on schema public from public']],
])('a table in %s can be reached, and so can the tasks', async (_, statements) => {
  await using empty = await emptyDatabase()
  const before = await openDatabase({ url: empty.url })
  const name = new URL(empty.url).pathname.slice(1)
  for (const statement of statements) await sql.raw(statement.replace('DATABASE', name)).execute(before.admin)
  await before.close()
  const { admin: db, forUser, close } = await openDatabase({ url: empty.url })
  try {
    await migrateAll(db)
    await sql`create table notes (user_id text primary key, body text)`.execute(db)
    await protectTable(db, 'notes')
    await insert(forUser('alice'), 'notes', 'hers')
    expect(await bodies(forUser('alice'), 'notes')).toEqual(['hers'])
    expect(await forUser('bob').selectFrom('tasks').selectAll().execute()).toEqual([])
  } finally {
    await close()
  }
})

test('protecting a table again changes nothing', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await sql`create table again (user_id text, body text, primary key (user_id, body))`.execute(database.admin)
  for (let n = 0; n < 2; n++) await protectTable(database.admin, 'again')
  await insert(database.forUser('alice'), 'again', 'hers')
  expect(await bodies(database.forUser('bob'), 'again')).toEqual([])
  expect((await database.fence()).gaps).toEqual([])
})

test('shareTable refuses a protected table', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await expect(shareTable(database.admin, 'tasks')).rejects.toThrow(
    'tasks cannot be shared: it is protected, or a table',
  )
  await sql`
    create table parted (user_id text, id int, primary key (user_id, id)) partition by list (id)`.execute(
    database.admin,
  )
  await sql`create table part partition of parted default`.execute(database.admin)
  await protectTable(database.admin, 'parted')
  await expect(shareTable(database.admin, 'part')).rejects.toThrow('part cannot be shared: it is protected')
  expect((await database.fence()).gaps).toEqual([])
})

test('protectTable accepts serial columns, and refuses a policy that allows more', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (statement: string) => sql.raw(statement).execute(database.admin)
  await run('create table numbered (user_id text, id bigserial, body text, primary key (user_id, id))')
  await protectTable(database.admin, 'numbered')
  await insert(database.forUser('alice'), 'numbered', 'hers')
  expect(await bodies(database.forUser('alice'), 'numbered')).toEqual(['hers'])
  await run('create table open (user_id text, body text, primary key (user_id, body))')
  await run('create policy everybody on open using (true)')
  await expect(protectTable(database.admin, 'open')).rejects.toThrow('drop its policy everybody, or make it')
  await run('drop policy everybody on open')
  await run('create policy early on open as restrictive using (true)')
  await expect(protectTable(database.admin, 'open')).rejects.toThrow('drop its policy early, or make it')
  await run('alter policy early on open rename to restricted')
  await protectTable(database.admin, 'open')
  expect((await database.fence()).gaps).toEqual([])
})
