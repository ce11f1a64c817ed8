import { type Kysely, sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Database,
  FenceError,
  type OpenDatabase,
  openDatabase,
  protectTable,
  shareTable,
} from '../../../db/index.js'
import { kindsOfAllCases, openTestDatabase } from '../../parts/database.js'
import { openGapDatabase } from '../../parts/fence-gaps.js'
import { someOf } from '../../parts/some-of.js'
import { waitFor } from '../../parts/wait-for.js'

describe.each(kindsOfAllCases)('the fence on %s', kind => {
  let database: Awaited<ReturnType<typeof openGapDatabase>>
  beforeAll(async () => {
    database = await openGapDatabase(kind)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(() => database.reset())

  test('has no gap after the migrations', async () => {
    expect((await database.fence()).gaps).toEqual([])
  })

  test('has no gap with tables that the role cannot reach, protected tables and shared tables', async () => {
    await database.run('create table gap.private (id int)')
    await database.run('create table gap.countries (code text primary key)')
    await protectTable(database.admin, 'gap.notes')
    await shareTable(database.admin, 'gap.countries')
    await database.run('create view gap.mine with (security_invoker = true) as select * from gap.notes')
    await database.run('grant select on gap.mine to app_user')
    await database.run('create table gap.others (owner text)')
    await database.run('create policy own_rows on gap.others using (owner = current_user)')
    await database.run('create table gap.split (user_id text primary key)')
    await database.run('PROTECT gap.split')
    await database.run('drop policy own_rows on gap.split')
    await database.run(
      'create policy r on gap.split for select using (trpc_bearer.policies_first() and user_id = (select trpc_bearer.user_id()))',
    )
    await database.run(
      'create policy w on gap.split for insert with check (user_id = (select trpc_bearer.user_id()))',
    )
    await database.run(
      'create policy u on gap.split for update using (trpc_bearer.policies_first() and user_id = (select trpc_bearer.user_id()))',
    )
    await database.run(
      'create policy d on gap.split for delete using (trpc_bearer.policies_first() and user_id = (select trpc_bearer.user_id()))',
    )
    expect((await database.fence()).gaps).toEqual([])
    const { rows } = await sql`select * from gap.countries`.execute(database.forUser('alice'))
    expect(rows).toEqual([])
    await expect(sql`delete from gap.countries`.execute(database.forUser('alice'))).rejects.toThrow(
      'permission denied',
    )
    await expect(sql`select * from gap.private`.execute(database.forUser('alice'))).rejects.toMatchObject({
      message: expect.stringContaining('permission denied'),
      advice: expect.stringContaining('protectTable'),
    })
  })

  test.each(
    someOf(
      [
        ['a table that was granted without a policy', ['grant select on gap.notes to app_user'], 'gap.notes'],
        ['a table that everybody may read', ['grant select on gap.notes to public'], 'gap.notes'],
        ['a column that was granted', ['grant select (body) on gap.notes to app_user'], 'gap.notes'],
        [
          'a table with an unusual name',
          ['create table gap."ROLE" (id int)', 'grant select on gap."ROLE" to app_user'],
          'gap."ROLE"',
        ],
        [
          'a system function',
          ['grant execute on function pg_read_file(text) to app_user'],
          'function pg_read_file(text)',
        ],
        ['a system table', ['grant select on pg_authid to app_user'], 'pg_authid'],
        [
          'a system table that everybody may read',
          ['grant select on pg_statistic to public'],
          'pg_statistic',
        ],
        ['a column of a system table', ['grant select (rolpassword) on pg_authid to public'], 'pg_authid'],
        [
          'a view with the rights of its owner',
          ['create view gap.all as select * from tasks', 'grant select on gap.all to app_user'],
          'gap."all"',
        ],
        [
          'a materialized view',
          [
            'create materialized view gap.copy as select * from tasks',
            'grant select on gap.copy to app_user',
          ],
          'gap.copy',
        ],
        [
          'a foreign table',
          [
            'create foreign data wrapper nothing',
            'create server far foreign data wrapper nothing',
            'create foreign table gap.far (id int) server far',
            'grant select on gap.far to app_user',
          ],
          'gap.far',
        ],
        [
          'a shared table that a caller may change',
          [
            'create table gap.prices (id int)',
            'SHARE gap.prices',
            'grant update (id) on gap.prices to app_user',
          ],
          'gap.prices',
        ],
        [
          'a table that was protected and shared, and lost its row-level security',
          [
            'PROTECT gap.notes',
            "insert into trpc_bearer.shared_table values ('gap.notes')",
            'alter table gap.notes disable row level security',
          ],
          'gap.notes',
        ],
        [
          'a sequence that a caller may set',
          ['create sequence gap.numbers', 'grant all on sequence gap.numbers to app_user'],
          'sequence gap.numbers',
        ],
        [
          'a schema in which a caller may create tables',
          ['grant create on schema gap to public'],
          'schema gap',
        ],
        ['a table that a caller may truncate', ['grant truncate on tasks to app_user'], 'public.tasks'],
        [
          'a partition that the role can reach directly',
          [
            'create table gap.parted (user_id text, id int, primary key (user_id, id)) partition by list (id)',
            'create table gap.part partition of gap.parted default',
            'PROTECT gap.parted',
            'grant select on gap.part to app_user',
          ],
          'gap.part',
        ],
        [
          'a view that an older version shared',
          [
            'create view gap.all as select * from tasks',
            `insert into trpc_bearer.shared_table values ('gap.all')`,
            'grant select on gap.all to app_user',
          ],
          'gap."all"',
        ],
        [
          'a materialized view that an older version shared',
          [
            'create materialized view gap.copy as select * from tasks',
            `insert into trpc_bearer.shared_table values ('gap.copy')`,
            'grant select on gap.copy to app_user',
          ],
          'gap.copy',
        ],
        [
          'a table in a closed schema, which a view makes readable',
          [
            'create table closed.secrets (body text)',
            'grant select on closed.secrets to app_user',
            'create view gap.opened with (security_invoker = true) as select * from closed.secrets',
            'grant select on gap.opened to app_user',
          ],
          'closed.secrets',
        ],
        [
          'a view with a rule, which writes as the owner',
          [
            'create view gap.mine with (security_invoker = true) as select * from tasks',
            'create rule add as on insert to gap.mine do instead insert into tasks select new.*',
            'grant select, insert on gap.mine to app_user',
          ],
          'gap.mine',
        ],
        [
          'a view behind a view',
          [
            'create view gap.inner as select * from tasks',
            'create view gap.outer with (security_invoker = true) as select * from gap.inner',
            'grant select on gap.inner, gap.outer to app_user',
          ],
          'gap."inner"',
        ],
      ],
      3,
    ),
  )('has a gap: %s. Protected statements are refused until it is fixed', async (_, statements, object) => {
    await database.expectGapUntilFixed(statements, object)
  })
})

describe('a table that another session has locked', () => {
  /** Runs while another session has locked the table archive, or waits for that behind a reader. */
  const whileLocked = async (
    { admin }: Pick<OpenDatabase, 'admin'>,
    how: 'locked' | 'waiting',
    run: () => Promise<void>,
  ) => {
    const lock = (trx: Kysely<Database>) => sql`lock table archive in access exclusive mode`.execute(trx)
    await admin.transaction().execute(async trx => {
      if (how === 'locked') {
        await lock(trx)
        return run()
      }
      await sql`select from archive`.execute(trx)
      const waiting = admin.transaction().execute(lock)
      await waitFor(async () => {
        const { rows } = await sql`select from pg_locks where not granted`.execute(admin)
        expect(rows).toHaveLength(1)
      })
      await run().finally(() => sql`rollback`.execute(trx))
      await waiting
    })
  }
  const open = async () => {
    const database = await openTestDatabase('PostgreSQL', { statementTimeout: 1 })
    await sql`create table archive (user_id text primary key)`.execute(database.admin)
    await protectTable(database.admin, 'archive')
    const other = await openDatabase({ url: database.url ?? '' })
    const list = () => other.forUser('alice').selectFrom('tasks').selectAll().execute()
    return {
      ...database,
      other,
      list,
      async [Symbol.asyncDispose]() {
        await other.close()
        await database[Symbol.asyncDispose]()
      },
    }
  }
  const object = 'public.archive'

  test.each(['locked', 'waiting'] as const)(
    'and that was checked before keeps nobody from the others: %s',
    async how => {
      await using database = await open()
      expect((await database.other.fence()).gaps).toEqual([])
      await whileLocked(database, how, async () => {
        expect((await database.other.fence()).gaps).toEqual([])
        expect(await database.list()).toEqual([])
      })
    },
  )

  test('and that was never checked is a gap until the lock is gone', async () => {
    await using database = await open()
    await whileLocked(database, 'locked', async () => {
      expect((await database.other.fence()).gaps).toMatchObject([
        { object, problem: expect.stringContaining('locked it') },
      ])
      await expect(database.list()).rejects.toThrow(FenceError)
    })
    expect((await database.other.fence()).gaps).toEqual([])
    expect(await database.list()).toEqual([])
  })

  test.each([
    ['a policy', 'alter policy own_rows on archive using (true)'],
    ['a switch', 'alter table archive disable row level security'],
  ])('keeps its gap, which %s has opened', async (_, statement) => {
    await using database = await open()
    await database.other.fence()
    await sql.raw(statement).execute(database.admin)
    expect((await database.other.fence()).gaps).toMatchObject([{ object }])
    for (const how of ['locked', 'waiting'] as const) {
      await whileLocked(database, how, async () => {
        expect((await database.other.fence()).gaps).toMatchObject([{ object }])
        await expect(database.list()).rejects.toThrow(FenceError)
      })
    }
    await expect(database.list()).rejects.toThrow(FenceError)
  })
})

test('a table that callers only write to needs no select privilege', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await sql`create table entries (user_id text primary key)`.execute(database.admin)
  await protectTable(database.admin, 'entries')
  await sql`revoke select on entries from app_user`.execute(database.admin)
  expect((await database.fence()).gaps).toEqual([])
})

test('the fix for a system table that everybody reads revokes only what was granted', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await sql`grant insert, update (relname) on pg_class to app_user`.execute(database.admin)
  const { gaps } = await database.fence()
  expect(gaps.map(({ fix }) => fix)).toEqual(['revoke insert, update (relname) on pg_class from app_user;'])
})

test('a search path that includes trpc_bearer is not a gap', async () => {
  await using empty = await openTestDatabase('PostgreSQL')
  const name = new URL(empty.url ?? '').pathname.slice(1)
  await sql`alter database ${sql.id(name)} set search_path = trpc_bearer, public`.execute(empty.admin)
  const database = await openDatabase({ url: empty.url ?? '' })
  expect((await database.fence()).gaps).toEqual([])
  await database.close()
})

test('an identity that is always the same is a gap', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await sql`create or replace function trpc_bearer.user_id() returns text stable return 'bob'`.execute(
    database.admin,
  )
  expect((await database.fence()).gaps).toEqual([expect.objectContaining({ object: 'the identity' })])
})
