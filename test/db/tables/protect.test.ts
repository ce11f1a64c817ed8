import { CamelCasePlugin, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase, protectTable, shareTable, unprotectTable } from '../../../db/index.js'
import { emptyDatabase, kindsOfThisRun, openTestDatabase } from '../../parts/database.js'
import { openMigrated, ownedDatabase } from '../../parts/logins.js'
import { migrateAll } from '../../parts/migrate.js'
import { someOf } from '../../parts/some-of.js'

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
            user_id text, id bigint generated always as identity primary key, body text not null
          )`.execute(trx)
        await protectTable(trx, table)
      })
    }
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each(someOf(tables, 4))('shows and accepts only own rows: %s', async table => {
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

  test.each(someOf(tables, 4))(
    'shows a row with an empty or a missing user_id to no caller, and no caller can write one: %s',
    async table => {
      const name = sql.table(table)
      await sql`delete from ${name}`.execute(database.admin)
      for (const owner of ['', null]) {
        const write = (handle: Handle) =>
          sql`insert into ${name} (user_id, body) values (${owner}, 'nobody')`.execute(handle)
        await write(database.admin)
        await expect(write(alice)).rejects.toMatchObject({ code: '42501' })
        await insert(alice, table, 'hers')
        const give = sql`update ${name} set user_id = ${owner}`.execute(alice)
        await expect(give).rejects.toMatchObject({ code: '42501' })
        expect(await bodies(alice, table)).toEqual(['hers'])
        expect(await bodies(bob, table)).toEqual([])
        for (const caller of [alice, bob]) await sql`delete from ${name}`.execute(caller)
        expect(await bodies(database.admin, table)).toEqual(['nobody'])
        await sql`delete from ${name}`.execute(database.admin)
      }
    },
  )

  test('has row-level security enabled and not forced', async () => {
    const { rows } = await sql`
      select relname, relrowsecurity, relforcerowsecurity from pg_class
      where relname in ('tasks', 'notes', 'invoices') and relkind = 'r' order by relname`.execute(
      database.admin,
    )
    const policy = { relrowsecurity: true, relforcerowsecurity: false }
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
    await expect(protectTable(database.admin, 'ownerless')).rejects.toThrow(
      "ownerless cannot be protected: it has no column user_id. Name the column of its owner: { owner: '…' }.",
    )
    await expect(protectTable(database.admin, 'ownerless', { owner: 'owner' })).rejects.toThrow(
      'it has no column owner.',
    )
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

test('the owner of a table sees and changes every row, and scoped statements only their own', async () => {
  await using logins = await ownedDatabase()
  const server = await openMigrated(logins)
  const owner = await openDatabase({ url: logins.ownerUrl, role: logins.role })
  const { admin: db } = owner
  try {
    await sql`create table notes (id int primary key, user_id text, body text)`.execute(db)
    await sql`insert into notes values (1, 'alice', 'hers'), (2, 'bob', 'his'), (3, '', 'empty'), (4, null, 'null')`.execute(
      db,
    )
    await protectTable(db, 'notes')
    const { rows } = await sql`
      select rolsuper or rolbypassrls as "isStrong", tableowner = current_user as "isOwner"
      from pg_roles, pg_tables where rolname = current_user and tablename = 'notes'`.execute(db)
    expect(rows).toEqual([{ isStrong: false, isOwner: true }])
    expect(await bodies(db, 'notes')).toEqual(['empty', 'hers', 'his', 'null'])
    for (const { forUser } of [server, owner]) {
      expect(await bodies(forUser('alice'), 'notes')).toEqual(['hers'])
      expect(await bodies(forUser('carol'), 'notes')).toEqual([])
    }
    expect((await sql`update notes set body = body || '!'`.execute(db)).numAffectedRows).toBe(4n)
    expect(await bodies(server.forUser('bob'), 'notes')).toEqual(['his!'])
    expect((await sql`delete from notes`.execute(server.forUser('bob'))).numAffectedRows).toBe(1n)
    expect((await server.fence()).gaps).toEqual([])
  } finally {
    await owner.close()
    await server.close()
  }
})

if (process.env.LONG_TESTS) {
  test('shareTable refuses a protected table', async () => {
    await using database = await openTestDatabase('PostgreSQL')
    await expect(shareTable(database.admin, 'tasks')).rejects.toThrow(
      'tasks cannot be shared: it, a parent or a child has row-level security',
    )
    await sql`
    create table parted (user_id text, id int, primary key (user_id, id)) partition by list (id)`.execute(
      database.admin,
    )
    await sql`create table part partition of parted default`.execute(database.admin)
    await protectTable(database.admin, 'parted')
    await expect(shareTable(database.admin, 'part')).rejects.toThrow(
      'part cannot be shared: it, a parent or a child has row-level security',
    )
    expect((await database.fence()).gaps).toEqual([])
  })
}

test('protectTable accepts serial columns, and refuses a policy that allows more', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (statement: string) => sql.raw(statement).execute(database.admin)
  await run('create table numbered (user_id text, id bigserial, body text, primary key (user_id, id))')
  await protectTable(database.admin, 'numbered')
  await insert(database.forUser('alice'), 'numbered', 'hers')
  expect(await bodies(database.forUser('alice'), 'numbered')).toEqual(['hers'])
  await run('create table open (user_id text, body text, primary key (user_id, body))')
  await run('create policy everybody on open using (true)')
  await expect(protectTable(database.admin, 'open')).rejects.toThrow(
    'open cannot be protected: its policy everybody applies to app_user too. Drop it, give it to other roles, or make it restrictive with a name that sorts after own_rows_first.',
  )
  await run('drop policy everybody on open')
  await run('create policy early on open as restrictive using (true)')
  await expect(protectTable(database.admin, 'open')).rejects.toThrow(
    'its policy early applies to app_user too.',
  )
  await run('alter policy early on open rename to restricted')
  await run('create policy reports on open to pg_monitor using (true)')
  await protectTable(database.admin, 'open')
  expect((await database.fence()).gaps).toEqual([])
})

describe.each([
  ['a table', 'id serial primary key', ''],
  ['a partitioned table', 'id int generated always as identity, primary key (id)', 'partition by range (id)'],
])('%s with rows', (_, id, partitions) => {
  let database: Database
  beforeAll(async () => {
    database = await openTestDatabase('PostgreSQL')
  })
  afterAll(() => database[Symbol.asyncDispose]())

  const run = (text: string) => sql.raw(text).execute(database.admin)
  const create = async (name: string) => {
    await run(`create table ${name} (${id}, owner_id uuid, body text default 'x') ${partitions}`)
    if (partitions !== '') await run(`create table ${name}_part partition of ${name} default`)
    await run(`insert into ${name} (owner_id) select gen_random_uuid() from generate_series(1, 10)`)
  }

  /** All that protectTable can change on a table and its partitions. The rights of its owner are not printed. */
  const stateOf = async (name: string) => {
    const { rows } = await sql<{ state: unknown }>`
      with tree as (select ${name}::regclass as oid union select relid from pg_partition_tree(${name}::regclass))
      select json_build_object(
        'policies', (select json_agg(p order by tablename, policyname) from pg_policies p where tablename like ${`${name}%`}),
        'tables', (
          select json_agg(json_build_array(c.oid, relname, relrowsecurity, relforcerowsecurity, relchecks, array(
            select format('%s %s', a.grantee::regrole, a.privilege_type) from aclexplode(relacl) a where a.grantee <> relowner order by 1
          )) order by relname)
          from pg_class c where c.oid in (table tree) or c.oid = pg_get_serial_sequence(${name}, 'id')::regclass
        ),
        'indexes', (
          select json_agg(json_build_array(i.indexrelid, pg_get_indexdef(i.indexrelid)) order by i.indexrelid)
          from pg_index i where i.indrelid in (table tree)
        ),
        'defaults', (
          select json_agg(json_build_array(adrelid, adnum, pg_get_expr(adbin, adrelid)) order by adrelid, adnum)
          from pg_attrdef where adrelid in (table tree)
        ),
        'columns', (
          select json_agg(json_build_array(attrelid, attname, attnotnull, attacl) order by attrelid, attnum)
          from pg_attribute where attrelid in (table tree) and attnum > 0
        ),
        'record', (select json_agg(to_jsonb(r) - 'relation') from trpc_bearer.protected_table r where relation = ${name}::regclass),
        'shared', (select count(*) from trpc_bearer.shared_table where relation = ${name}::regclass),
        'schema', (select nspacl from pg_namespace where nspname = 'public')
      ) as state`.execute(database.admin)
    return rows[0]?.state
  }

  test('does not change if protectTable is called again', async () => {
    await create('again')
    await protectTable(database.admin, 'again', { owner: 'owner_id' })
    const state = await stateOf('again')
    await protectTable(database.admin, 'again', { owner: 'owner_id' })
    expect(await stateOf('again')).toEqual(state)
    await database.admin.transaction().execute(trx => protectTable(trx, 'again', { owner: 'owner_id' }))
    expect(await stateOf('again')).toEqual(state)
    expect((await database.fence()).gaps).toEqual([])
  })

  test('is as before after unprotectTable', async () => {
    await create('taken_back')
    await run('create index on taken_back (owner_id)')
    const state = await stateOf('taken_back')
    await protectTable(database.admin, 'taken_back', { owner: 'owner_id' })
    expect(await stateOf('taken_back')).not.toEqual(state)
    await unprotectTable(database.admin, 'taken_back')
    expect(await stateOf('taken_back')).toEqual(state)
    await expect(sql`select from taken_back`.execute(database.forUser('alice'))).rejects.toMatchObject({
      code: '42501',
    })
    expect((await database.fence()).gaps).toEqual([])
    await unprotectTable(database.admin, 'taken_back')
    expect(await stateOf('taken_back')).toEqual(state)
  })

  test('keeps the row-level security and the policies that it had before', async () => {
    await create('closed')
    await run('create index on closed (owner_id)')
    await run('alter table closed enable row level security')
    const closed = await stateOf('closed')
    await protectTable(database.admin, 'closed', { owner: 'owner_id' })
    await unprotectTable(database.admin, 'closed')
    expect(await stateOf('closed')).toEqual(closed)
    await run('create policy reports on closed to pg_monitor using (true)')
    const reported = await stateOf('closed')
    await protectTable(database.admin, 'closed', { owner: 'owner_id' })
    await unprotectTable(database.admin, 'closed')
    expect(await stateOf('closed')).toEqual(reported)
  })

  test('has only the default of the owner that protectTable got last', async () => {
    await create('moved')
    await run('alter table moved add writer text')
    await protectTable(database.admin, 'moved', { owner: 'owner_id' })
    await protectTable(database.admin, 'moved', { owner: 'writer' })
    const writer = database.forUser('00000000-0000-4000-8000-000000000001')
    await sql`insert into moved default values`.execute(writer)
    const { rows } = await sql`select owner_id, writer from moved`.execute(writer)
    expect(rows).toEqual([{ owner_id: null, writer: '00000000-0000-4000-8000-000000000001' }])
    expect((await database.fence()).gaps).toEqual([])
  })

  test('is restored by protectTable after somebody changed it', async () => {
    await create('changed')
    await protectTable(database.admin, 'changed', { owner: 'owner_id' })
    const state = await stateOf('changed')
    await run('alter policy own_rows on changed using (true)')
    await run('drop policy own_rows_first on changed')
    await run('alter table changed disable row level security')
    await run('alter table changed alter owner_id drop default')
    await run('grant truncate, trigger on changed to app_user')
    await run('revoke update on changed from app_user')
    await protectTable(database.admin, 'changed', { owner: 'owner_id' })
    expect(await stateOf('changed')).toEqual(state)
  })
})

test('a shared table may be read and nothing else, whatever the default privileges are', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (statement: string) => sql.raw(statement).execute(database.admin)
  await run('alter default privileges grant all on tables to app_user, public')
  await run('create table countries (code text primary key)')
  await shareTable(database.admin, 'countries')
  const { rows } = await sql`
    select distinct a.privilege_type as right from pg_class, aclexplode(relacl) a
    where oid = 'countries'::regclass and a.grantee <> relowner order by 1`.execute(database.admin)
  expect(rows).toEqual([{ right: 'SELECT' }])
})

test('a table keeps the default of its owner column for those who insert without an identity, and a policy of another login keeps its protection', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (statement: string) => sql.raw(statement).execute(database.admin)
  const added = async () => (await run("insert into people (name) values ('x') returning id")).rows
  await run('create table people (id uuid primary key default gen_random_uuid(), name text)')
  await protectTable(database.admin, 'people', { owner: 'id' })
  expect(await added()).toHaveLength(1)
  const id = crypto.randomUUID()
  await sql`insert into people (name) values ('hers')`.execute(database.forUser(id))
  expect((await sql`select id from people`.execute(database.forUser(id))).rows).toEqual([{ id }])
  await run('create policy reports on people for select to pg_monitor using (false)')
  await unprotectTable(database.admin, 'people')
  expect(await added()).toHaveLength(1)
  const { rows } = await run("select relrowsecurity from pg_class where oid = 'people'::regclass")
  expect(rows).toEqual([{ relrowsecurity: true }])
})

test('row-level security that was forced is not forced any more, so the owner sees every row', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (statement: string) => sql.raw(statement).execute(database.admin)
  await run('create table forced (user_id text, body text)')
  await run('alter table forced force row level security')
  await protectTable(database.admin, 'forced')
  const { rows } = await run(
    "select relrowsecurity, relforcerowsecurity from pg_class where oid = 'forced'::regclass",
  )
  expect(rows).toEqual([{ relrowsecurity: true, relforcerowsecurity: false }])
})

test('a handle with a schema or with camel case names protects the table that it names', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (text: string) => sql.raw(text).execute(database.admin)
  await run('create schema billing; create table billing.inv (user_id text); create table inv (user_id text)')
  await run('create table order_items (person_id text); create table "orderItems" (person_id text)')
  await protectTable(database.admin.withSchema('billing'), 'inv')
  await protectTable(database.admin.withPlugin(new CamelCasePlugin()), 'orderItems', { owner: 'personId' })
  const { rows } = await sql`
    select relation::text, owner, (select relrowsecurity from pg_class where oid = relation) as "on"
    from trpc_bearer.protected_tables() where relation <> 'tasks'::regclass order by 1`.execute(
    database.admin,
  )
  expect(rows).toEqual([
    { relation: 'billing.inv', owner: 'user_id', on: true },
    { relation: 'order_items', owner: 'person_id', on: true },
  ])
  expect((await database.fence()).gaps).toEqual([])
})

test('the default of an owner column that was renamed is restored in the end', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (text: string) => sql.raw(text).execute(database.admin)
  const defaultNow = async () =>
    (
      await sql<{ text: string }>`
        select pg_get_expr(adbin, adrelid) as text from pg_attrdef where adrelid = 'things'::regclass`.execute(
        database.admin,
      )
    ).rows
  await run(`create table things (person text default 'system')`)
  await protectTable(database.admin, 'things', { owner: 'person' })
  const protectedDefault = await defaultNow()
  await run('alter table things rename person to owner_id')
  await protectTable(database.admin, 'things', { owner: 'owner_id' })
  expect(await defaultNow()).toEqual(protectedDefault)
  await unprotectTable(database.admin, 'things')
  expect(await defaultNow()).toEqual([{ text: "'system'::text" }])
})

test('a table that inherits gets one index, however often its parent is protected', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (text: string) => sql.raw(text).execute(database.admin)
  await run('create table parent (user_id text); create table child () inherits (parent)')
  for (const _ of [1, 2, 3]) await protectTable(database.admin, 'parent')
  const { rows } = await sql`
    select indrelid::regclass::text as name, count(*)::int from pg_index
    where indrelid in ('parent'::regclass, 'child'::regclass) group by 1 order by 1`.execute(database.admin)
  expect(rows).toEqual([
    { name: 'child', count: 1 },
    { name: 'parent', count: 1 },
  ])
})

test('a default may draw from a sequence that several tables share', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await sql
    .raw(`create sequence numbers; create table things (id bigint default nextval('numbers'), user_id text)`)
    .execute(database.admin)
  await protectTable(database.admin, 'things')
  await sql`insert into things default values`.execute(database.forUser('alice'))
  expect((await database.fence()).gaps).toEqual([])
})

test('a table takes the rights on its partitions too, unless they are protected themselves', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (text: string) => sql.raw(text).execute(database.admin)
  await run(`
    create table things (user_id text, body text) partition by list (body);
    create table part partition of things default partition by list (body);
    create table leaf partition of part default; grant select on part to public; grant insert (body) on leaf to app_user;
    create table notes (user_id text, body text); create table heir (like notes); create table child () inherits (notes)`)
  await protectTable(database.admin, 'heir')
  await run('alter table heir inherit notes')
  await run('grant select on child to app_user, pg_monitor')
  await protectTable(database.admin, 'things')
  await protectTable(database.admin, 'notes')
  expect((await database.fence()).gaps).toEqual([])
  await insert(database.forUser('alice'), 'heir', 'hers')
  await insert(database.forUser('alice'), 'things', 'hers')
  expect(await bodies(database.forUser('alice'), 'notes')).toEqual(['hers'])
  const { rows } = await run(`select has_table_privilege('pg_monitor', 'child', 'select') as kept`)
  expect(rows).toEqual([{ kept: true }])
})
