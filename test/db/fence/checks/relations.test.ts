import { afterAll, beforeAll, beforeEach, describe, test } from 'vitest'
import { kindsOfThisRun } from '../../../parts/database.js'
import { openGapDatabase } from '../../../parts/fence-gaps.js'

describe.each(kindsOfThisRun)('the fence of protected tables on %s', kind => {
  let database: Awaited<ReturnType<typeof openGapDatabase>>
  beforeAll(async () => {
    database = await openGapDatabase(kind)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(() => database.reset())

  test.each([
    ['tasks without row-level security', ['alter table tasks disable row level security'], 'public.tasks'],
    ['tasks that are open to their owner', ['alter table tasks no force row level security'], 'public.tasks'],
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
    ['tasks that the role may not read', ['revoke select on tasks from app_user'], 'public.tasks'],
    [
      'tasks in a schema that is closed',
      ['revoke usage on schema public from public, app_user'],
      'public.tasks',
    ],
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
      'a unique key that reveals rows of other users',
      ['create unique index tells on tasks (title)'],
      'public.tasks',
    ],
    [
      'a unique constraint that reveals rows of other users',
      ['alter table tasks add constraint tells unique (title)'],
      'public.tasks',
    ],
    [
      'a foreign key that reveals rows of other users',
      [
        'create table gap.known (id text primary key)',
        'alter table tasks add constraint tells foreign key (title) references gap.known',
      ],
      'public.tasks',
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
      'a partition with its own key',
      [
        'create table gap.parted (user_id text, id int, primary key (user_id, id)) partition by list (id)',
        'create table gap.part partition of gap.parted default',
        'PROTECT gap.parted',
        'create unique index on gap.part (id)',
      ],
      'gap.parted',
    ],
    [
      'a shared table that became a partition of a protected one',
      [
        'create table gap.parted (user_id text, id int, primary key (user_id, id)) partition by list (id)',
        'PROTECT gap.parted',
        "create table gap.part (user_id text, id int, primary key (user_id, id), constraint parted_user_id_not_empty check (user_id <> ''))",
        'SHARE gap.part',
        'alter table gap.parted attach partition gap.part default',
      ],
      'gap.parted',
    ],
    [
      'another policy on a protected table',
      ['PROTECT gap.notes', 'create policy everybody on gap.notes using (true)'],
      'gap.notes',
    ],
    [
      'a protected table that is open to its owner',
      ['PROTECT gap.notes', 'alter table gap.notes no force row level security'],
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
      'a unique key on a protected table',
      ['PROTECT gap.notes', 'create unique index on gap.notes (body)'],
      'gap.notes',
    ],
  ])('has a gap: %s. Protected statements are refused until it is fixed', async (_, statements, object) => {
    await database.expectGapUntilFixed(statements, object)
  })
})
