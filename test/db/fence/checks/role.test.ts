import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { FenceError, openDatabase } from '../../../../db/index.js'
import { emptyDatabase } from '../../../parts/database.js'
import { migrateAll } from '../../../parts/migrate.js'
import { someOf } from '../../../parts/some-of.js'

/** A database with its own application role, and another role to grant to it. */
async function openWithOwnRole() {
  const empty = await emptyDatabase()
  const role = `becoming_${randomBytes(4).toString('hex')}`
  const other = `strong_${role}`
  const database = await openDatabase({ url: empty.url, role })
  const run = (text: string) =>
    sql.raw(text.replaceAll('ROLE', role).replaceAll('OTHER', other)).execute(database.admin)
  await run('create role OTHER')
  await migrateAll(database.admin, { role })
  return {
    ...database,
    url: empty.url,
    role,
    other,
    run,
    async [Symbol.asyncDispose]() {
      await run('drop owned by ROLE, OTHER cascade; drop role ROLE, OTHER')
      await database.close()
      await empty[Symbol.asyncDispose]()
    },
  }
}

let database: Awaited<ReturnType<typeof openWithOwnRole>>
beforeAll(async () => {
  database = await openWithOwnRole()
})
afterEach(async () => {
  await database.run(`
    drop owned by OTHER cascade; drop table if exists notes; drop schema if exists open;
    revoke pg_read_all_data from OTHER cascade; revoke OTHER from ROLE;
    alter role OTHER nobypassrls noreplication; alter role ROLE inherit`)
  expect((await database.fence()).gaps).toEqual([])
})
afterAll(() => database[Symbol.asyncDispose]())

test.each(
  someOf(
    [
      [
        'bypasses policies',
        'alter role OTHER bypassrls; grant OTHER to ROLE',
        'OTHER, which bypasses policies',
      ],
      [
        'may reach more by switching',
        'alter role ROLE noinherit; grant OTHER to ROLE',
        'OTHER, which may reach more',
      ],
      ['may replicate', 'alter role OTHER replication; grant OTHER to ROLE', 'OTHER, which may reach more'],
      [
        'owns a table',
        'create table notes (); alter table notes owner to OTHER; grant OTHER to ROLE',
        'OTHER, which may reach more',
      ],
      ['reads everything', 'grant pg_read_all_data to ROLE', 'pg_read_all_data, which may reach more'],
      [
        'reads everything through another',
        'grant pg_read_all_data to OTHER; grant OTHER to ROLE',
        'pg_read_all_data, which may reach more',
      ],
      [
        'reads everything by a grant of another role',
        'grant pg_read_all_data to OTHER with admin option; set role OTHER; grant pg_read_all_data to ROLE; reset role',
        'pg_read_all_data, which may reach more',
      ],
    ],
    3,
  ),
)('a role that can become one that %s is a gap, until it is fixed', async (_, statements, target) => {
  const { role, other, run, fence } = database
  await run(statements)
  const { gaps } = await fence()
  const problem = expect.stringContaining(`it can become ${target.replace('OTHER', other)}`)
  expect(gaps).toEqual([expect.objectContaining({ object: `role ${role}`, problem })])
  for (const { fix } of gaps) await run(fix)
  expect((await fence()).gaps).toEqual([])
})

test.each(
  someOf(
    [
      ['a table', 'create table notes (body text); grant select (body) on notes to OTHER', 'public.notes'],
      ['a system table', 'grant select on pg_statistic to OTHER', 'pg_statistic'],
      [
        'a schema to create tables in',
        'create schema open; grant create on schema open to OTHER',
        'schema open',
      ],
      [
        'a server setting',
        'grant set on parameter session_replication_role to OTHER',
        'parameter session_replication_role',
      ],
    ],
    3,
  ),
)('%s that the role reaches by inheritance is a gap, until it is fixed', async (_, statements, object) => {
  const { run, fence } = database
  await run(`grant OTHER to ROLE; ${statements}`)
  const { gaps } = await fence()
  expect(gaps).toEqual([expect.objectContaining({ object })])
  for (const { fix } of gaps) await run(fix)
  expect((await fence()).gaps).toEqual([])
})

test.each(someOf(['superuser', 'bypassrls', 'createrole', 'createdb', 'replication'], 2))(
  'a role that is %s is a gap until it is fixed, and no statement runs as it',
  async attribute => {
    const { role, run, fence, forUser } = database
    await run(`alter role ROLE ${attribute}`)
    const { gaps } = await fence()
    expect(gaps).toEqual([expect.objectContaining({ object: `role ${role}` })])
    const read = () => forUser('alice').selectFrom('tasks').select('id').execute()
    await expect(read()).rejects.toThrow(FenceError)
    for (const { fix } of gaps) await run(fix)
    expect((await fence()).gaps).toEqual([])
    expect(await read()).toEqual([])
  },
)

test('a role that differs from the one of the migrations is a gap, and the policies stay the same', async () => {
  const { role, other, url } = database
  for (const wrong of [other, 'there_is_no_such_role']) {
    const mistaken = await openDatabase({ url, role: wrong })
    try {
      expect((await mistaken.fence()).gaps).toEqual([
        {
          object: `role ${wrong}`,
          problem: `the migrations created the tables for another role, ${role}`,
          fix: `-- set DATABASE_ROLE=${role}, or call openDatabase({ role: '${role}' })`,
        },
      ])
    } finally {
      await mistaken.close()
    }
  }
})
