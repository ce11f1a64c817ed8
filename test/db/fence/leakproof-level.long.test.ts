import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { openMigrated, ownedDatabase } from '../../parts/logins.js'

test.each([
  ['without the policy own_rows_first', 'drop policy own_rows_first on tasks'],
  [
    'with a restrictive policy whose name sorts before own_rows_first',
    `create policy only_open on tasks as restrictive using (title = 'open')`,
  ],
])('a table %s is not signed until the fix of the audit has run', async (_, statement) => {
  await using logins = await ownedDatabase()
  const database = await openMigrated(logins, randomBytes(32).toString('hex'))
  try {
    await logins.administer(statement)
    const { level, gaps, obstacles = [] } = await database.fence()
    expect([level, gaps, obstacles.map(({ problem }) => problem)]).toEqual([
      'plain',
      [],
      [expect.stringContaining('own_rows_first of public.tasks is missing or not the first')],
    ])
    for (const { fix } of obstacles) await logins.administer(fix)
    expect(await database.fence()).toEqual({ level: 'signed', gaps: [], notes: [] })
  } finally {
    await database.close()
  }
})

test.each([
  ['quote_all_identifiers', 'alter database DATABASE set quote_all_identifiers = on'],
  [
    'a view that reads the tasks from a closed schema',
    `create schema closed; alter table tasks set schema closed;
      create view tasks with (security_invoker) as select * from closed.tasks; grant select on tasks to ROLE`,
  ],
])('an index that reveals rows is found with %s', async (_, statements) => {
  await using logins = await ownedDatabase()
  const secret = randomBytes(32).toString('hex')
  await (await openMigrated(logins, secret)).close()
  const database = new URL(logins.serverUrl).pathname.slice(1)
  await logins.administer('create index by_title on tasks (title)')
  for (const statement of statements.split(';'))
    await logins.administer(statement.replace('DATABASE', database).replace('ROLE', logins.role))
  const server = await openDatabase({ url: logins.serverUrl, role: logins.role, fenceSecret: secret })
  try {
    const { notes } = await server.fence()
    expect(notes.map(({ object }) => object)).toContainEqual(expect.stringContaining('by_title'))
  } finally {
    await server.close()
  }
})
