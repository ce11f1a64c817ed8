import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestDatabase } from '../parts/database.js'
import { run } from '../parts/program.js'
import { differencesFrom, typesOf } from './types.js'

/** `npm run db:types` with the database at a URL, or without one. */
const dbTypes = (url: string | null, ...args: string[]) =>
  run('npm', ['run', '--silent', 'db:types', '--', ...args], {
    env: { ...process.env, NODE_ENV: '', MIGRATION_DATABASE_URL: '', DATABASE_URL: url ?? '' },
  })

describe('npm run db:types', () => {
  test('prints the types of the database at DATABASE_URL', async () => {
    await using database = await openTestDatabase('PostgreSQL')
    await sql`create table countries (code text primary key, name text)`.execute(database.admin)
    const { code, stdout } = await dbTypes(database.url)
    expect(code).toBe(0)
    expect(stdout).toContain('export interface Countries {\n  code: string;\n  name: string | null;\n}')
    expect(stdout).toContain('export interface DB {\n  countries: Countries;\n  tasks: Tasks;\n}')
  })

  test('--check passes with nothing set up: Database says what the migrations make', async () => {
    const stdout = 'tasks-table.ts says what the database has.\n'
    expect(await dbTypes(null, '--check')).toMatchObject({ code: 0, stdout })
  })

  test('--check fails, and names each column, where they differ', async () => {
    await using database = await openTestDatabase('PostgreSQL')
    await sql`alter table tasks rename column notes to remarks`.execute(database.admin)
    const { code, stderr } = await dbTypes(database.url, '--check')
    expect(code).toBe(1)
    expect(stderr.trimEnd().split('\n')).toEqual([
      'tasks-table.ts and the database differ:',
      '  tasks.notes: only in tasks-table.ts',
      '  tasks.remarks: only in the database',
    ])
  })
})

describe('the difference between Database and a database', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase('PostgreSQL')
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each([
    ['create table notes (user_id text)', ['notes: only in the database']],
    ['alter table tasks rename to chores', ['chores: only in the database', 'tasks: only in tasks-table.ts']],
    ['alter table tasks add column priority int', ['tasks.priority: only in the database']],
    ['alter table tasks drop column notes', ['tasks.notes: only in tasks-table.ts']],
    [
      'alter table tasks alter title drop not null',
      [
        'tasks.title: may be left out of an insert in the database, not by tasks-table.ts',
        'tasks.title: may be null in the database, not by tasks-table.ts',
      ],
    ],
    [
      'alter table tasks alter due_at set not null, alter due_at set default now()',
      ['tasks.due_at: may be null by tasks-table.ts, not in the database'],
    ],
    [
      "alter table tasks alter title set default ''",
      ['tasks.title: may be left out of an insert in the database, not by tasks-table.ts'],
    ],
    [
      'alter table tasks alter created_at drop default',
      ['tasks.created_at: may be left out of an insert by tasks-table.ts, not in the database'],
    ],
    [
      'alter table tasks alter version type bigint',
      ['tasks.version: number in tasks-table.ts, string in the database'],
    ],
    ['alter table tasks alter title type varchar(500)', []],
    ['create table trpc_bearer.more (id text)', []],
  ])('after %s', async (change, differences) => {
    const undone = new Error('Undone')
    const call = database.admin.transaction().execute(async trx => {
      await sql.raw(change).execute(trx)
      expect(await differencesFrom(await typesOf(trx))).toEqual(differences)
      throw undone
    })
    await expect(call).rejects.toBe(undone)
  })
})
