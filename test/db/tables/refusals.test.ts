import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { protectTable } from '../../../db/index.js'
import { openTestDatabase } from '../../parts/database.js'

test.each([
  [
    'a rule',
    'create table things (user_id text, body text); create rule copy as on insert to things do also select 1',
    'its rule copy runs with the rights of the owner. Drop it, or use a trigger instead',
    'drop rule copy on things',
  ],
  [
    'an owner column that is generated',
    `create table things (user_id text generated always as (data ->> 'user') stored, data jsonb)`,
    "its column user_id is generated, so it cannot have the caller's id as its default",
    'alter table things alter user_id drop expression',
  ],
  ...[
    ['column user_id', 'user_id text default make_id(), body text'],
    ['column body', 'user_id text, body text default make_id()'],
    ['column made', 'user_id text, body text, made text generated always as (make_id()) stored'],
    ['constraint made', 'user_id text, body text, constraint made check (body <> make_id())'],
  ].map(([what, columns]) => [
    `a function that callers may not execute, for the ${what}`,
    `create function make_id() returns text immutable return 'x'; revoke execute on function make_id from public; create table things (${columns})`,
    `its ${what} calls make_id(), which app_user may not execute, so no insert would succeed. Run: grant execute on function make_id() to app_user`,
    'grant execute on function make_id() to app_user',
  ]),
])('protectTable refuses a table with %s, until that is fixed', async (_, statements, problem, fix) => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (text = '') => sql.raw(text).execute(database.admin)
  await run(statements)
  await expect(protectTable(database.admin, 'things')).rejects.toThrow(
    new Error(`things cannot be protected: ${problem}.`),
  )
  await run(fix)
  await protectTable(database.admin, 'things')
  expect((await database.fence()).gaps).toEqual([])
  await sql`insert into things default values`.execute(database.forUser('alice'))
})
