import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { openDatabase, protectTable } from '../../../db/index.js'
import type { SessionFacts } from '../../../db/scoped/session-facts.js'
import { createStatementCache } from '../../../db/scoped/statement-cache.js'
import { emptyDatabase, openTestDatabase } from '../../parts/database.js'
import { migrateAll } from '../../parts/migrate.js'
import { startPostgresProxy } from '../../parts/postgres-proxy.js'

test('a value that cannot be sent does not break later statements', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  await sql`create table values_ (user_id text not null, v jsonb)`.execute(database.admin)
  await sql`create index on values_ (user_id)`.execute(database.admin)
  await protectTable(database.admin, 'values_')
  const insert = (user: string, value: object) =>
    sql`insert into values_ (v) values (${value})`.execute(database.forUser(user))
  for (let n = 0; n < 3; n++) await insert('alice', { n })
  await expect(insert('alice', { n: 1n })).rejects.toThrow('BigInt')
  for (let n = 0; n < 3; n++) await insert('bob', { n })
})

test('a column that a migration adds while the server runs breaks no statement', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const all = () => database.forUser('alice').selectFrom('tasks').selectAll().execute()
  for (let n = 0; n < 3; n++) await all()
  await sql`alter table tasks add column extra int`.execute(database.admin)
  for (let n = 0; n < 3; n++) expect(await all()).toEqual([])
  await sql`alter table tasks add column more int`.execute(database.admin)
  const inTransaction = () =>
    database
      .forUser('alice')
      .transaction()
      .execute(trx => trx.selectFrom('tasks').selectAll().execute())
  await all()
  for (let n = 0; n < 3; n++) expect(await inTransaction()).toEqual([])
})

test('a stale prepared statement is recognized whatever language PostgreSQL uses', async () => {
  await using migrated = await openTestDatabase('PostgreSQL')
  await using proxy = await startPostgresProxy(migrated.url ?? '')
  const database = await openDatabase({ url: proxy.url, poolMax: 1 })
  const all = () => database.forUser('alice').selectFrom('tasks').selectAll().execute()
  // The proxy replaces the message by one of the same length, because few machines have another locale.
  let translated = 0
  proxy.translate = answer => {
    const text = answer.toString('latin1').replace(/(?<=\0C0A000\0M)[^\0]+/, message => {
      translated++
      return '?'.repeat(message.length)
    })
    return Buffer.from(text, 'latin1')
  }
  try {
    for (let n = 0; n < 3; n++) await all()
    await sql`alter table tasks add column extra int`.execute(migrated.admin)
    expect(await all()).toEqual([])
    expect(translated).toBe(1)
  } finally {
    await database.close()
  }
})

test('columns that a migration renames, retypes and swaps are read correctly', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 2 })
  const run = (statement: string) => sql.raw(statement).execute(database.admin)
  await run(`create table things (user_id text primary key, a text, b int)`)
  await protectTable(database.admin, 'things')
  const alice = database.forUser('alice')
  await sql`insert into things (a, b) values ('1', 2)`.execute(alice)
  const read = async () => {
    const all = () => sql`select * from things`.execute(alice)
    const results = await Promise.all(Array.from({ length: 6 }, all))
    return new Set(results.map(({ rows }) => JSON.stringify(rows)))
  }
  const only = (row: object) => new Set([JSON.stringify([{ user_id: 'alice', ...row }])])
  expect(await read()).toEqual(only({ a: '1', b: 2 }))
  await run('alter table things rename a to c')
  expect(await read()).toEqual(only({ c: '1', b: 2 }))
  await run('alter table things alter c type int using c::int')
  expect(await read()).toEqual(only({ c: 1, b: 2 }))
  await run(
    'alter table things rename c to x; alter table things rename b to c; alter table things rename x to b',
  )
  expect(await read()).toEqual(only({ b: 1, c: 2 }))
})

test('values are accepted after a migration has changed the type of their column', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 2 })
  const run = (statement: string) => sql.raw(statement).execute(database.admin)
  await run('create table things (user_id text, a text)')
  await protectTable(database.admin, 'things')
  const alice = database.forUser('alice')
  const values = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222']
  const write = async () => {
    for (const value of [...values, ...values]) {
      await sql`insert into things (a) values (${value})`.execute(alice)
      await sql`delete from things where a = ${value}`.execute(alice)
    }
  }
  await write()
  await run('alter table things alter a type uuid using a::uuid')
  await write()
  const mistake = () => sql`delete from things where a = ${1}::int`.execute(alice)
  for (let n = 0; n < 3; n++) await expect(mistake()).rejects.toMatchObject({ code: '42883' })
})

if (process.env.LONG_TESTS) {
  test('two processes give the same name only to the same statement, as a pooler may mix them', async () => {
    await using one = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    await using two = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    const namesIn = async ({ forUser }: typeof one, ...texts: string[]) => {
      for (const text of [...texts, ...texts]) await sql.raw(text).execute(forUser('alice'))
      const { rows } = await sql<{ name: string; statement: string }>`
      select name, statement from pg_prepared_statements`.execute(forUser('alice'))
      return new Map(rows.map(({ name, statement }) => [name, statement]))
    }
    const first = await namesIn(one, 'select 1', 'select 2')
    const second = await namesIn(two, 'select 3', 'select 2')
    expect(first.size).toBe(3)
    for (const [name, statement] of first) expect(second.get(name) ?? statement).toBe(statement)
  })
}

test('rows are the same as those of pg, whatever the names of the columns', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const text = `select 1 as a, 2 as a, null::text as n, '{"x":1}'::jsonb as "__proto__", array[1, null] as list,
    timestamptz '2026-01-02 03:04:05.678+00' as at, 'x'::bytea as bytes, 1.50::numeric as price, 2::bigint as big, true as yes`
  const pg = await sql.raw<object>(text).execute(database.admin)
  const own = await sql.raw<object>(text).execute(database.forUser('alice'))
  expect(Object.entries(own.rows[0] ?? {})).toEqual(Object.entries(pg.rows[0] ?? {}))
})

if (process.env.LONG_TESTS) {
  test('a login with its own schema finds its tables', async () => {
    await using empty = await emptyDatabase()
    const admin = await openDatabase({ url: empty.url })
    const login = `shop_${new URL(empty.url).pathname.slice(6)}`
    await sql.raw(`create role ${login} login superuser password 'shop'`).execute(admin.admin)
    await sql.raw(`create schema ${login} authorization ${login}`).execute(admin.admin)
    const url = new URL(empty.url)
    url.username = login
    url.password = 'shop'
    const shop = await openDatabase({ url: url.href })
    try {
      await migrateAll(shop.admin)
      const alice = shop.forUser('alice')
      await alice.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'milk' }).execute()
      expect(await alice.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'milk' }])
      const { rows } = await sql`select count(*)::int from ${sql.table(`${login}.tasks`)}`.execute(shop.admin)
      expect(rows).toEqual([{ count: 1 }])
    } finally {
      await shop.close()
      await sql.raw(`drop owned by ${login} cascade; drop role ${login}`).execute(admin.admin)
      await admin.close()
    }
  })
}

test('a stream returns only the rows of its caller, and ends when the caller aborts', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const add = (user: string, title: string) =>
    database.forUser(user).insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()
  for (let n = 0; n < 25; n++) await add('alice', 'hers')
  await add('bob', 'his')
  const gone = new AbortController()
  const titles: string[] = []
  const stream = (signal?: AbortSignal) =>
    database.forUser('alice', { signal }).selectFrom('tasks').select('title').stream(10)
  for await (const { title } of stream()) titles.push(title)
  expect(titles).toEqual(Array.from({ length: 25 }, () => 'hers'))
  const read = async () => {
    for await (const _ of stream(gone.signal)) gone.abort(new Error('gone'))
  }
  await expect(read()).rejects.toThrow('gone')
  await expect(read()).rejects.toThrow('gone')
  await add('bob', 'his too')
})

if (process.env.LONG_TESTS) {
  test('a statement that an extension prepares under one of our names never runs for the next caller', async () => {
    await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    await sql`create extension xml2`.execute(database.admin)
    const add = (title: string) =>
      database
        .forUser('bob')
        .insertInto('tasks')
        .values({ id: crypto.randomUUID(), title })
        .returning('title')
        .execute()
    for (let n = 0; n < 3; n++) await add('his')
    const { rows: prepared } = await sql<{ name: string; statement: string }>`
    select name, statement from pg_prepared_statements`.execute(database.admin)
    const named = (start: string) => prepared.find(({ statement }) => statement.startsWith(start))?.name
    const steals = [
      `deallocate "${named('insert into "tasks"')}"`,
      `prepare "${named('insert into "tasks"')}" (uuid, text) as select set_config(''stolen.title'', $2, false) as title`,
      `deallocate "${named('select pg_catalog.set_config')}"`,
      `prepare mine as select 1`,
    ].join('; ')
    const injected = `
    select count(*) from xpath_table(
      'k', 'd', '(select 1 k, null::text d) x; ${steals}; select 1 as k, '''' as d --', '/', 'true'
    ) as t(a int, b text)`
    const alice = database.forUser('alice')
    await sql.raw(injected).execute(alice)
    expect(await add('secret')).toEqual([{ title: 'secret' }])
    expect(await sql`select current_setting('stolen.title', true) as title`.execute(alice)).toMatchObject({
      rows: [{ title: null }],
    })
    const left = await sql`select from pg_prepared_statements where from_sql`.execute(database.admin)
    expect(left.rows).toEqual([])
  })
}

test('on a kept connection whose statement was sent again, a rolled-back change is gone and a later one stays', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const migration = await openDatabase({ url: database.url ?? undefined })
  const alice = database.forUser('alice')
  await alice.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'hers' }).execute()
  await alice.connection().execute(async connection => {
    const read = async () =>
      (await sql<{ notes: string }>`select * from tasks`.execute(connection)).rows[0]?.notes
    for (let n = 0; n < 3; n++) await read()
    await sql`alter table tasks add column extra int`.execute(migration.admin)
    await read()
    const failing = connection.transaction().execute(async trx => {
      await sql`update tasks set notes = 'rolled back'`.execute(trx)
      throw new Error('Changed my mind')
    })
    await expect(failing).rejects.toThrow('Changed my mind')
    expect(await read()).toBe('')
    await sql`update tasks set notes = 'kept'`.execute(connection)
  })
  expect(await alice.selectFrom('tasks').select('notes').execute()).toEqual([{ notes: 'kept' }])
  await migration.close()
})

test('prepared statements that were deallocated are sent again', async () => {
  await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
  const read = () => database.forUser('alice').selectFrom('tasks').select('id').execute()
  for (let n = 0; n < 3; n++) await read()
  await sql`deallocate all`.execute(database.admin)
  for (let n = 0; n < 3; n++) expect(await read()).toEqual([])
})

test('a prepared statement that a function misses is the error of that function', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await sql`create function forget() returns void language plpgsql as $$ begin execute 'deallocate nope'; end $$`.execute(
    database.admin,
  )
  const alice = database.forUser('alice')
  await expect(sql`select forget()`.execute(alice)).rejects.toMatchObject({ code: '26000' })
  const inTransaction = alice.transaction().execute(trx => sql`select forget()`.execute(trx))
  await expect(inTransaction).rejects.toMatchObject({ code: '26000' })
})

describe('the cache', () => {
  const facts: SessionFacts = {
    searchPath: 'public, pg_temp',
    functions: new Set(),
    hasSideEffects: false,
    parsesUnderSettings: false,
  }
  const createCache = () => createStatementCache({ prepare: () => true, isSigned: false, facts: () => facts })

  test('names at most 500 texts, and gives a text back the name that it had', () => {
    const inspect = createCache()
    const nameOf = (text: string) => [inspect(text), inspect(text)].at(-1)?.name
    const first = nameOf('select 0')
    const names = Array.from({ length: 3_000 }, (_, n) => nameOf(`select ${n}`))
    expect(first).toBeDefined()
    expect(new Set(names.filter(name => name !== undefined)).size).toBe(500)
    expect(nameOf('select 0')).toBe(first)
  })

  test('keeps two million characters, and prepares no long text', () => {
    const inspect = createCache()
    const long = (n: number) => `select ${n}, '${'x'.repeat(450_000)}'`
    const infos = Array.from({ length: 10 }, (_, n) => inspect(long(n)))
    expect(inspect(long(9))).toBe(infos[9])
    expect(inspect(long(9)).name).toBeUndefined()
    expect(inspect(long(0))).not.toBe(infos[0])
  })
})
