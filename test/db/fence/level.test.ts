import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { FenceError, type OpenDatabase, openDatabase, setUpFence } from '../../../db/index.js'
import { emptyDatabase, openTestDatabase } from '../../parts/database.js'
import { chosen, expectOnlyGivenTablesToChange } from '../../parts/fence-gaps.js'
import { migrateAll } from '../../parts/migrate.js'
import { startPostgresProxy } from '../../parts/postgres-proxy.js'
import { runSql } from '../../parts/run-sql.js'
import { someOf } from '../../parts/some-of.js'

const secret = randomBytes(32).toString('hex')

/** A migrated database, opened with a serving login that has no other rights. */
async function openServing() {
  const empty = await emptyDatabase()
  const id = randomBytes(4).toString('hex')
  const [login, other, role] = [`login_${id}`, `other_${id}`, `role_${id}`]
  const named = (text: string) =>
    text.replaceAll('LOGIN', login).replaceAll('OTHER', other).replaceAll('ROLE', role)
  const administer = (...statements: string[]) => runSql(empty.url, ...statements.map(named))
  await administer(`create role LOGIN login noinherit password 'login'`, 'create role OTHER')
  const migration = await openDatabase({ url: empty.url, role })
  await migrateAll(migration.admin, { role })
  const setUp = (options: { secret?: string }) => setUpFence(migration.admin, { role, login, ...options })
  const url = new URL(empty.url)
  url.username = login
  url.password = 'login'
  const open = (url: string) => openDatabase({ url, role, fenceSecret: secret, requiredFence: 'signed' })
  const database = await open(url.href)
  return {
    database,
    open,
    url: empty.url,
    servingUrl: url.href,
    named,
    administer,
    setUp,
    async [Symbol.asyncDispose]() {
      await database.close()
      await migration.close()
      await administer(
        'reassign owned by LOGIN, OTHER to current_user',
        'drop owned by ROLE, LOGIN, OTHER cascade',
        'drop role ROLE, LOGIN, OTHER',
      )
      await empty[Symbol.asyncDispose]()
    },
  }
}

/** The types of the messages of an answer (PostgreSQL manual, 55.7 Message Formats). */
function typesOf(answer: Buffer): string {
  let types = ''
  for (let at = 0; at + 5 <= answer.length; at += 1 + answer.readInt32BE(at + 1))
    types += String.fromCharCode(answer[at] ?? 0)
  return types
}

async function expectTasksToWork({ forUser }: OpenDatabase) {
  const id = crypto.randomUUID()
  await forUser('alice').insertInto('tasks').values({ id, title: 'hers' }).execute()
  expect(await forUser('alice').selectFrom('tasks').select('id').execute()).toEqual([{ id }])
  await forUser('alice').deleteFrom('tasks').execute()
}

describe('the level is plain instead of signed', () => {
  let parts: Awaited<ReturnType<typeof openServing>>
  beforeAll(async () => {
    parts = await openServing()
    await parts.setUp({ secret })
  })
  afterAll(() => parts[Symbol.asyncDispose]())
  // Restores the keys of the tasks.
  afterEach(async () => {
    const others = ['other_key', 'tasks_by_title', 'tasks_by_version']
    const drops = others.map(name => `drop constraint if exists ${name}, `).join('')
    await parts.administer(
      `alter table tasks ${drops} drop constraint tasks_pkey, add constraint tasks_pkey primary key (user_id, id)`,
      `drop index if exists ${others}, tasks_of_some, tasks_by_both, tasks_by_tags, tasks_by_c, tasks_by_order, tasks_by_pages, tasks_by_place`,
    )
  })

  test('only the complete audit makes errors in PostgreSQL, at the level signed too', async () => {
    await using proxy = await startPostgresProxy(parts.servingUrl)
    const database = await parts.open(proxy.url)
    let types = ''
    proxy.translate = answer => {
      types += typesOf(answer)
      return answer
    }
    expect(await database.gate()).toEqual({ level: 'signed', gaps: [], notes: [] })
    await expectTasksToWork(database)
    expect(types).toMatch(/^[^E]+$/)
    expect(await database.fence()).toEqual({ level: 'signed', gaps: [], notes: [] })
    expect(types).toContain('E')
    await database.close()
  })

  const plainFunctions = [
    ['user_id', "current_setting('app.user_id', true)"],
    ['owner_id', "current_setting('app.owner_' || name, true)"],
    ['policies_first', 'true'],
  ] as const
  test.each(someOf(plainFunctions, 3))(
    'if a restore has brought back the plain %s, and the check of each minute sees it',
    async (name, body) => {
      await using fresh = await openServing()
      await fresh.setUp({ secret })
      const argument = name === 'owner_id' ? 'name text' : ''
      const type = name === 'policies_first' ? 'boolean' : 'text'
      expect((await fresh.database.gate()).gaps).toEqual([])
      await fresh.administer(
        `create or replace function trpc_bearer.${name}(${argument}) returns ${type} language sql stable return ${body}`,
      )
      const server = await fresh.open(fresh.servingUrl)
      await expect(server.forUser('alice').selectFrom('tasks').select('id').execute()).rejects.toThrow(
        FenceError,
      )
      expect((await server.gate()).level).toBe('plain')
      await server.close()
    },
  )

  const obstacles: [problem: string, statements: string, reported: string][] = [
    ['is superuser', 'alter role LOGIN superuser', 'login LOGIN is superuser'],
    [
      'may create tables in a schema',
      'grant create on schema public to LOGIN',
      'login LOGIN may create tables in the schema public',
    ],
    ['bypasses policies', 'alter role LOGIN bypassrls', 'login LOGIN is bypassrls'],
    ['may create roles', 'alter role LOGIN createrole', 'login LOGIN is createrole'],
    ['may create databases', 'alter role LOGIN createdb', 'login LOGIN is createdb'],
    ['may replicate', 'alter role LOGIN replication', 'login LOGIN is replication'],
    ['inherits', 'alter role LOGIN inherit', 'login LOGIN inherits the rights of its roles'],
    ['is a member of another role', 'grant OTHER to LOGIN', 'login LOGIN is a member of OTHER'],
    [
      'is a member of another role by a grant of a third',
      'grant pg_monitor to OTHER with admin option; set role OTHER; grant pg_monitor to LOGIN',
      'login LOGIN is a member of pg_monitor',
    ],
    ['owns a schema', 'create schema own authorization LOGIN', 'login LOGIN owns schema own'],
    [
      'owns many things',
      `create table a (); create table b (); create view c as select 1 as x; alter table a owner to LOGIN;
       alter table b owner to LOGIN; alter view c owner to LOGIN;
       create function d(int) returns int return 1; alter function d owner to LOGIN`,
      'login LOGIN owns table public.a, table public.b, table public.c and 1 more',
    ],
    ['owns the database', 'DATABASE', 'login LOGIN owns database'],
    [
      'was granted rights on a table',
      'create table gifts (); grant insert on gifts to LOGIN',
      'login LOGIN has rights on table public.gifts',
    ],
    [
      'was granted a column of the tasks',
      'grant update (title) on tasks to LOGIN',
      'login LOGIN has rights on table public.tasks',
    ],
    [
      'was granted a function',
      'create function f(text) returns int return 1; grant execute on function f to LOGIN',
      'login LOGIN has rights on routine public.f(pg_catalog.text)',
    ],
    [
      'was granted rights on future tables',
      'alter default privileges in schema public grant select on tables to LOGIN',
      'login LOGIN has rights on default acl',
    ],
    [
      'may read a table that everybody may read',
      'grant select (title) on tasks to public',
      'everybody may read public.tasks',
    ],
    [
      'may read the secret',
      'grant select on trpc_bearer.fence_key to public',
      'everybody may read trpc_bearer.fence_key',
    ],
  ]

  test('and stays signed when injected SQL makes the login own a large object', async () => {
    const injected = sql`select set_config('role', 'none', true), lo_create(0)`
    await injected.execute(parts.database.forUser('alice'))
    expect(await parts.database.fence()).toEqual({ level: 'signed', gaps: [], notes: [] })
  })

  test.each(someOf(obstacles, 12))('if the login %s, until that is fixed', async (_, statement, problem) => {
    const { database, administer, named, url } = parts
    const name = new URL(url).pathname.slice(1)
    await administer(statement.replace('DATABASE', `alter database ${name} owner to LOGIN`))
    const report = await database.fence()
    const { level, gaps } = report
    await expectOnlyGivenTablesToChange(report, text => administer(text))
    expect(level).toBe('plain')
    const reasons = gaps.filter(gap => gap.object === 'the level')
    expect(reasons.map(reason => reason.problem)).toEqual([expect.stringContaining(named(problem))])
    for (const { fix } of gaps) await administer(chosen(fix))
    expect(await database.fence()).toEqual({ level: 'signed', gaps: [], notes: [] })
    await expectTasksToWork(database)
  })

  test('and nothing that the login owns changes its owner unless somebody chooses it', async () => {
    const { database, administer, named } = parts
    await administer('create table kept ()', 'alter table kept owner to LOGIN')
    const { gaps } = await database.fence()
    expect(gaps.map(({ fix }) => fix)).toEqual([
      expect.stringMatching(named('^-- choose: .*: reassign owned by LOGIN to \\w+;$')),
    ])
    for (const { fix } of gaps) await administer(fix)
    expect(await administer("select tableowner from pg_tables where tablename = 'kept'")).toEqual([
      { tableowner: named('LOGIN') },
    ])
    await administer('drop table kept')
  })

  test('but not because of an index that no leakproof operator can use', async () => {
    const { database, administer } = parts
    await administer("create index tasks_by_words on tasks using gin (to_tsvector('simple', title))")
    expect(await database.fence()).toEqual({ level: 'signed', gaps: [], notes: [] })
    await administer('drop index tasks_by_words')
  })

  const indexes: typeof obstacles = [
    [
      'an index of the tasks without user_id',
      'create index tasks_by_title on tasks (title)',
      'index public.tasks_by_title',
    ],
    [
      'an index with user_id as the second column',
      'create index tasks_by_tags on tasks using brin (notes, user_id)',
      'index public.tasks_by_tags',
    ],
    [
      'an index with another collation',
      'create index tasks_by_c on tasks (user_id collate "C", title collate "C")',
      'index public.tasks_by_c',
    ],
    [
      'an index in order, although none of its operators is leakproof',
      'create index tasks_by_order on tasks (((version)::numeric))',
      'index public.tasks_by_order',
    ],
    [
      'a summarizing index',
      'create index tasks_by_pages on tasks using brin (user_id, version)',
      'index public.tasks_by_pages',
    ],
    [
      'a partial index',
      "create index tasks_of_some on tasks using gin (to_tsvector('simple', title)) where completed",
      'index public.tasks_of_some',
    ],
    [
      'an index by distance',
      'create index tasks_by_place on tasks using gist ((point(version, 0)))',
      'index public.tasks_by_place',
    ],
    [
      'a unique index of a text',
      'create unique index tasks_by_title on tasks (title)',
      'its key public.tasks_by_title does not start with user_id',
    ],
    [
      'a unique constraint of a text',
      'alter table tasks add constraint tasks_by_title unique (title)',
      'its key public.tasks_by_title does not start with user_id',
    ],
    [
      'an exclusion constraint of a number',
      'alter table tasks add constraint tasks_by_version exclude using hash (version with =)',
      'its key public.tasks_by_version does not start with user_id',
    ],
    [
      'a partial unique index',
      'create unique index tasks_of_some on tasks (version) where completed',
      'its key public.tasks_of_some does not start with user_id',
    ],
    [
      'a unique index of a number and a text',
      'create unique index tasks_by_both on tasks (version, title)',
      'its key public.tasks_by_both does not start with user_id',
    ],
    [
      'a unique uuid',
      'alter table tasks add constraint other_key unique (id)',
      'its key public.other_key does not start with user_id',
    ],
    [
      'unique numbers and a text that is included',
      'create unique index other_key on tasks (version, id) include (title)',
      'its key public.other_key does not start with user_id',
    ],
    [
      'a primary key of a text',
      'alter table tasks drop constraint tasks_pkey, add constraint tasks_pkey primary key (title)',
      'its key public.tasks_pkey does not start with user_id',
    ],
  ]

  test.each(someOf(indexes, 5))('but not because of %s, which has a note', async (_, statement, note) => {
    const { database, administer } = parts
    await administer(statement)
    const { notes, ...report } = await database.fence()
    expect(report).toEqual({ level: 'signed', gaps: [] })
    expect(notes.map(({ object, problem }) => `${object}: ${problem}`)).toEqual([
      expect.stringContaining(note),
    ])
    await expectTasksToWork(database)
  })

  if (process.env.LONG_TESTS) {
    test('if the database has no secret, until it is migrated with one', async () => {
      await using fresh = await openServing()
      await fresh.setUp({})
      const { level, gaps } = await fresh.database.fence()
      expect(level).toBe('plain')
      expect(gaps).toEqual([
        expect.objectContaining({
          object: 'the level',
          fix: '-- run npx trpc-bearer migrate with FENCE_SECRET',
        }),
      ])
      await fresh.setUp({ secret })
      expect(await fresh.database.fence()).toEqual({ level: 'signed', gaps: [], notes: [] })
      await expectTasksToWork(fresh.database)
    })
  }

  if (process.env.LONG_TESTS) {
    test('if the value of an organisation is accepted without a signature', async () => {
      await using fresh = await openServing()
      await fresh.setUp({ secret })
      await fresh.administer(`
      create or replace function trpc_bearer.owner_id(name text) returns text language sql stable
        return current_setting('app.owner_' || name, true)`)
      const { level, gaps } = await fresh.database.fence()
      expect([level, gaps.map(gap => gap.problem)]).toEqual([
        'plain',
        [expect.stringContaining('without a signature is accepted')],
      ])
    })
  }

  test('for several reasons, and the report names each', async () => {
    const { database, administer, named } = parts
    await administer('alter role LOGIN createdb createrole inherit', 'grant OTHER to LOGIN')
    const { gaps } = await database.fence()
    expect(gaps.map(({ fix }) => fix)).toEqual(
      expect.arrayContaining(
        ['createrole', 'createdb', 'inherit'].map(option => named(`alter role LOGIN no${option};`)),
      ),
    )
    for (const { fix } of gaps) await administer(fix)
    expect(await database.fence()).toEqual({ level: 'signed', gaps: [], notes: [] })
  })

  test('if the migrating login serves: another login must serve', async () => {
    const { open, url } = parts
    const owner = await open(url)
    try {
      const { level, gaps } = await owner.fence()
      expect(level).toBe('plain')
      expect(gaps).toEqual([
        expect.objectContaining({ fix: expect.stringContaining('create role server login noinherit') }),
      ])
    } finally {
      await owner.close()
    }
  })
})

test.each([
  ['does not start with user_id reveals how many rows of other users match', 'title', 1],
  ['starts with user_id reveals nothing', 'user_id, title', 0],
])('an index that %s', async (_, columns, counted) => {
  await using under = await openTestDatabase('PostgreSQL')
  await sql`create index by_title on tasks (${sql.raw(columns)})`.execute(under.admin)
  await under
    .forUser('bob')
    .insertInto('tasks')
    .values({ id: crypto.randomUUID(), title: 'pin 7421' })
    .execute()
  await sql`
    insert into tasks (user_id, id, title) select 'alice', gen_random_uuid(), 'x' || n from generate_series(1, 2000) n`.execute(
    under.admin,
  )
  await sql`analyze tasks`.execute(under.admin)
  const found = await under
    .forUser('alice')
    .transaction()
    .execute(async alice => {
      const count = async () => {
        const { rows } = await sql<{ found: number }>`
          select pg_stat_get_xact_tuples_returned('by_title'::regclass)::int as found`.execute(alice)
        return rows[0]?.found ?? 0
      }
      const countedBy = async (from: string, to: string) => {
        const before = await count()
        const { rows } = await sql`select from tasks where title >= ${from} and title < ${to}`.execute(alice)
        expect(rows).toEqual([])
        return (await count()) - before
      }
      return [await countedBy('pin 7', 'pin 8'), await countedBy('pin 5', 'pin 6')]
    })
  expect((found[0] ?? 0) - (found[1] ?? 0)).toBe(counted)
})
