import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { FenceError, protectTable } from '../../../../db/index.js'
import { kindsOfAllCases } from '../../../parts/database.js'
import { openGapDatabase } from '../../../parts/fence-gaps.js'
import { someOf } from '../../../parts/some-of.js'

describe.each(kindsOfAllCases)('the fence of protected tables on %s', kind => {
  let database: Awaited<ReturnType<typeof openGapDatabase>>
  beforeAll(async () => {
    database = await openGapDatabase(kind)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(() => database.reset())

  const gaps: [gap: string, statements: string[], object: string][] = [
    ['tasks without row-level security', ['alter table tasks disable row level security'], 'public.tasks'],
    ['another policy on the tasks', ['create policy everybody on tasks using (true)'], 'public.tasks'],
    [
      'two other policies on the tasks',
      ['create policy a on tasks using (true)', 'create policy b on tasks using (true)'],
      'public.tasks',
    ],
    ['the policy of the tasks altered', ['alter policy own_rows on tasks using (true)'], 'public.tasks'],
    [
      'the policy of the tasks for another role',
      ['alter policy own_rows on tasks to pg_monitor'],
      'public.tasks',
    ],
    ['the policy of the tasks dropped', ['drop policy own_rows on tasks'], 'public.tasks'],
    [
      'another policy instead of that of the tasks',
      ['drop policy own_rows on tasks', 'create policy own_rows on tasks for select using (true)'],
      'public.tasks',
    ],
    ['tasks that the role may not use', ['revoke all on tasks from app_user'], 'public.tasks'],
    [
      'a protected table that the role may not use',
      ['PROTECT gap.notes', 'revoke all on gap.notes from app_user'],
      'gap.notes',
    ],
    [
      'a protected table without row-level security',
      ['PROTECT gap.notes', 'alter table gap.notes disable row level security'],
      'gap.notes',
    ],
    [
      'a parent table that shows the rows of a protected one',
      ['PROTECT gap.notes', 'create table gap.base (body text)', 'alter table gap.notes inherit gap.base'],
      'gap.notes',
    ],
    [
      'a shared table that shows the rows of a protected one several levels below',
      [
        'create table gap.oldest (body text)',
        'create table gap.between () inherits (gap.oldest)',
        'alter table gap.between enable row level security, force row level security',
        'PROTECT gap.notes',
        'alter table gap.notes inherit gap.between',
        'grant select on gap.oldest to public',
        "insert into trpc_bearer.shared_table values ('gap.oldest')",
      ],
      'gap.notes',
    ],
    [
      'a shared table that became a partition of a protected one',
      [
        'create table gap.parted (user_id text, id int, primary key (user_id, id)) partition by list (id)',
        'PROTECT gap.parted',
        'create table gap.part (user_id text, id int, primary key (user_id, id))',
        'SHARE gap.part',
        'alter table gap.parted attach partition gap.part default',
      ],
      'gap.parted',
    ],
    [
      'a protected table that became a partition of a table that was never given',
      [
        'create table gap.parted (user_id text not null, id int not null, body text) partition by list (id)',
        'PROTECT gap.notes',
        'alter table gap.parted attach partition gap.notes default',
      ],
      'gap.notes',
    ],
    [
      'a partition of a protected table that everybody may read',
      [
        'create table gap.parted (user_id text, id int, primary key (user_id, id)) partition by list (id)',
        'PROTECT gap.parted',
        'create table gap.part partition of gap.parted default',
        'grant select on gap.part to public',
      ],
      'gap.part',
    ],
    [
      'another policy on a protected table',
      ['PROTECT gap.notes', 'create policy everybody on gap.notes using (true)'],
      'gap.notes',
    ],
    [
      'the policy of a protected table altered',
      ['PROTECT gap.notes', 'alter policy own_rows on gap.notes using (user_id <> $$bob$$)'],
      'gap.notes',
    ],
    [
      'a policy for all roles on a protected table',
      ['PROTECT gap.notes', 'create policy everybody on gap.notes to public using (true)'],
      'gap.notes',
    ],
    [
      'a shared table that shows the rows of a child of a protected one',
      [
        'create table gap.base (body text)',
        'SHARE gap.base',
        'PROTECT gap.notes',
        'create table gap.heir () inherits (gap.notes, gap.base)',
      ],
      'gap.notes',
    ],
    [
      'a protected table that the role may truncate',
      ['PROTECT gap.notes', 'grant truncate on gap.notes to app_user'],
      'gap.notes',
    ],
    [
      'a table with a policy of the application that was never given to protectTable',
      [
        'alter table gap.notes enable row level security',
        'create policy mine on gap.notes using (user_id = trpc_bearer.user_id())',
        'grant select on gap.notes to app_user',
      ],
      'gap.notes',
    ],
    [
      'a table without a policy that the role may truncate',
      ['alter table gap.notes enable row level security', 'grant select, truncate on gap.notes to app_user'],
      'gap.notes',
    ],
    [
      'a shared table that shows the rows of a table with row-level security of its own',
      [
        'create table gap.entries (owner text, body text)',
        'SHARE gap.entries',
        'create table gap.private () inherits (gap.entries)',
        'alter table gap.private enable row level security',
      ],
      'gap.entries',
    ],
    [
      'a table of which the role may read a system column',
      ['grant select (ctid) on gap.notes to app_user'],
      'gap.notes',
    ],
    ['a table that the role owns', ['alter table gap.notes owner to app_user'], 'gap.notes'],
    [
      'a protected table that the role owns',
      ['PROTECT gap.notes', 'alter table gap.notes owner to app_user'],
      'gap.notes',
    ],
    [
      'a view that the role owns',
      [
        'create view gap.mine with (security_invoker = true) as select * from tasks',
        'alter view gap.mine owner to app_user',
      ],
      'gap.mine',
    ],
  ]

  test.each(someOf(gaps, 9))(
    'has a gap: %s. Protected statements are refused until it is fixed',
    async (_, statements, object) => {
      await database.expectGapUntilFixed(statements, object)
    },
  )

  test.each([
    [
      'a parent that was never given',
      ['create table gap.base (body text)', 'PROTECT gap.notes', 'alter table gap.notes inherit gap.base'],
      '-- choose: protectTable for gap.base too, in a migration, or take the rows out of it: alter table gap.notes no inherit gap.base;',
    ],
    [
      'a table of the role that was never given',
      ['alter table gap.notes owner to app_user'],
      '-- choose: another owner, such as the login that runs this: alter table gap.notes owner to current_user;',
    ],
    [
      'a foreign key of a child that was never given',
      [
        'create table gap.base (id text primary key)',
        'create table gap.child () inherits (gap.notes)',
        'PROTECT gap.notes',
        'alter table gap.child add constraint tells foreign key (user_id) references gap.base on update cascade',
        'grant update on gap.base to app_user',
      ],
      '-- choose: alter table gap.child drop constraint tells, add constraint tells FOREIGN KEY (user_id) REFERENCES gap.base(id);',
    ],
  ])('prints a choice that changes nothing if it is run as printed: %s', async (_, statements, fix) => {
    for (const statement of statements) await database.run(statement)
    const { gaps } = await database.fence()
    expect(gaps).toContainEqual(expect.objectContaining({ fix }))
    for (const gap of gaps.filter(found => found.fix === fix)) await database.run(gap.fix)
    expect((await database.fence()).gaps).toContainEqual(expect.objectContaining({ fix }))
  })

  test('a protected table above that has lost its row-level security is changed, because it was given', async () => {
    for (const statement of [
      'create table gap.base (user_id text)',
      'PROTECT gap.base',
      'PROTECT gap.notes',
      'alter table gap.notes inherit gap.base',
      'alter table gap.base disable row level security',
    ])
      await database.run(statement)
    const report = await database.fence()
    await database.expectOnlyGivenToChange(report)
    const enable = 'alter table gap.base enable row level security;'
    expect(report.gaps.map(({ fix }) => fix)).toEqual([enable, enable])
    await database.run(enable)
    expect((await database.fence()).gaps).toEqual([])
  })

  test('names the protected table of a partition that the role can reach directly', async () => {
    for (const statement of [
      'create table gap.parted (user_id text, id int, primary key (user_id, id)) partition by list (id)',
      'PROTECT gap.parted',
      'create table gap.part partition of gap.parted default',
      'grant select on gap.part to public',
    ])
      await database.run(statement)
    expect((await database.fence()).gaps).toEqual([
      {
        object: 'gap.part',
        problem: 'the role can reach it directly, without the policy of gap.parted, whose rows it holds',
        fix: 'revoke all on gap.part from public;',
      },
    ])
  })

  const key = "so a caller can find out whether a value exists in somebody's row"
  const harmless = '-- no problem if nobody can guess the values (random ids); else'
  const uniqueInstead = (index: string) =>
    `${harmless} use instead: create unique index concurrently on ${index};`

  test.each([
    [
      'a unique index',
      ['PROTECT gap.notes', 'create unique index tells on gap.notes (body)'],
      `its key gap.tells does not start with user_id, ${key}`,
      uniqueInstead('gap.notes (user_id, body)'),
    ],
    [
      'a unique constraint',
      ['PROTECT gap.notes', 'alter table gap.notes add constraint tells unique (body)'],
      `its key gap.tells does not start with user_id, ${key}`,
      uniqueInstead('gap.notes (user_id, body)'),
    ],
    [
      'a foreign key to a table that callers may not read',
      [
        'PROTECT gap.notes',
        'create table gap.known (id text primary key)',
        'alter table gap.notes add constraint tells foreign key (body) references gap.known',
      ],
      'its foreign key tells leads to rows of others in gap.known, so a caller can find out whether such a row exists',
      `${harmless} let the key contain the owner column of both tables`,
    ],
  ])('has a note and no gap: %s that reveals rows of other users', async (_, statements, problem, fix) => {
    expect(await database.expectNote(statements, 'gap.notes')).toEqual({ object: 'gap.notes', problem, fix })
  })

  test('has a note and no gap: a partition with its own key', async () => {
    const note = await database.expectNote(
      [
        'create table gap.parted (user_id text, id int, primary key (user_id, id)) partition by list (id)',
        'create table gap.part partition of gap.parted default',
        'PROTECT gap.parted',
        'create unique index part_key on gap.part (id)',
      ],
      'gap.parted',
    )
    expect(note).toEqual({
      object: 'gap.parted',
      problem: `its key gap.part_key does not start with user_id, ${key}`,
      fix: uniqueInstead('gap.part (user_id, id)'),
    })
  })

  test.each([
    ['a protected table that its owner can read', ['PROTECT gap.notes']],
    [
      'a table with row-level security and no policy',
      [
        'alter table gap.notes enable row level security',
        'grant select, insert, update, delete on gap.notes to app_user',
      ],
    ],
    [
      'a table with a policy of another role',
      [
        'alter table gap.notes enable row level security',
        'create policy others on gap.notes to pg_monitor using (true)',
        'grant select on gap.notes to app_user',
      ],
    ],
  ])('has no gap: %s, and callers see no rows of others', async (_, statements) => {
    for (const statement of statements) await database.run(statement)
    await database.run(`insert into gap.notes values ('bob', 1, 'his')`)
    expect(await database.fence()).toMatchObject({ gaps: [], notes: [] })
    expect((await sql`select * from gap.notes`.execute(database.admin)).rows).toHaveLength(1)
    expect((await sql`select * from gap.notes`.execute(database.forUser('alice'))).rows).toEqual([])
  })

  test.each([
    ['without the right to read it', 'revoke select on gap.notes from app_user'],
    ['in a schema that is closed', 'revoke usage on schema gap from app_user'],
  ])('has no gap: a protected table %s. A statement that needs it fails', async (_, statement) => {
    await database.run('PROTECT gap.notes')
    await database.run(statement)
    expect((await database.fence()).gaps).toEqual([])
    const read = sql`select * from gap.notes`.execute(database.forUser('alice'))
    await expect(read).rejects.toMatchObject({ code: '42501', advice: expect.stringContaining('grant') })
  })

  test.each([
    ['renamed', 'alter table gap.notes rename user_id to person', { owner: 'person' }],
    [
      'dropped',
      'alter table gap.notes drop user_id cascade; alter table gap.notes add writer uuid',
      { owner: 'writer' },
    ],
    [
      'of another type',
      'drop policy own_rows on gap.notes; drop policy own_rows_first on gap.notes; alter table gap.notes alter user_id drop default; alter table gap.notes alter user_id type bytea using null, add writer bigint',
      { owner: 'writer' },
    ],
  ])(
    'has a gap: an owner column that was %s, until protectTable gets the new one',
    async (_, statement, options) => {
      await database.run('PROTECT gap.notes')
      await database.run(statement)
      const { gaps } = await database.fence()
      expect(gaps).toEqual([
        {
          object: 'gap.notes',
          problem: 'its owner column user_id is missing, or has a type that cannot be an owner',
          fix: '-- call protectTable again, with the name of the column that it has now',
        },
      ])
      const list = () => database.forUser('alice').selectFrom('tasks').select('id').execute()
      await expect(list()).rejects.toThrow(FenceError)
      await protectTable(database.admin, 'gap.notes', options)
      expect((await database.fence()).gaps).toEqual([])
      expect(await list()).toEqual([])
    },
  )

  test.each([
    [
      'may read',
      'select',
      'may read it, but row-level security shows it no rows, because none of its policies applies',
      /^-- if it should see every row: create policy \w+ on gap\.notes for select to \w+ using \(true\);$/,
    ],
    [
      'may read and write',
      'select, insert, delete',
      'may write it, but row-level security shows it no rows and refuses its own, because none of its policies applies',
      /^-- if it should see and write every row: create policy \w+ on gap\.notes for all to \w+ using \(true\) with check \(true\);$/,
    ],
    [
      'may only insert into',
      'insert',
      'may write it, but row-level security shows it no rows and refuses its own, because none of its policies applies',
      /for all to \w+ using \(true\) with check \(true\);$/,
    ],
  ])(
    'has a note for a login that %s a protected table and has no policy',
    async (_, rights, problem, fix) => {
      const reports = `reports_${randomBytes(4).toString('hex')}`
      await database.run('PROTECT gap.notes')
      await database.run(
        `create role ${reports} login; grant usage on schema gap to ${reports}; grant ${rights} on gap.notes to ${reports}`,
      )
      const insert = () =>
        database.run(`set role ${reports}; insert into gap.notes values ('bob', 1, 'his'); reset role`)
      try {
        const report = await database.fence()
        await database.expectOnlyGivenToChange(report)
        expect(report.notes).toEqual([
          { object: 'gap.notes', problem: `${reports} ${problem}`, fix: expect.stringMatching(fix) },
        ])
        for (const { fix } of report.notes) await database.run(fix.replace(/^-- [^:]*: /, ''))
        expect(await database.fence()).toMatchObject({ gaps: [], notes: [] })
        if (rights.includes('insert')) await insert()
      } finally {
        await database.run(`reset role; drop owned by ${reports}; drop role ${reports}`)
      }
    },
  )
})
