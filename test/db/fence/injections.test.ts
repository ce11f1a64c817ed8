import { createHmac, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { OpenDatabase } from '../../../db/index.js'
import { injections } from '../../parts/injections.js'
import { type Owned, openMigrated, ownedDatabase } from '../../parts/logins.js'

const secret = randomBytes(32).toString('hex')

describe.each(['plain', 'signed'] as const)('the level %s', level => {
  let logins: Owned
  let database: OpenDatabase
  beforeAll(async () => {
    logins = await ownedDatabase()
    database = await openMigrated(logins, level === 'signed' ? secret : undefined)
    await logins.administer('create extension dblink', 'create extension xml2')
    for (const [user, title] of [
      ['alice', 'hers'],
      ['bob', 'SECRET of bob'],
    ] as const) {
      await database.forUser(user).insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()
    }
  })
  afterAll(async () => {
    await database.close()
    await logins[Symbol.asyncDispose]()
  })

  test('works in psql as docs/isolation.md says', async () => {
    const page = await readFile(new URL('../../../docs/isolation.md', import.meta.url), 'utf8')
    const [statements = ''] = /^begin;[^`]+/m.exec(page) ?? []
    // As openssl does in the line before.
    const [, format = ''] = /printf (.+) somebody \|/.exec(page) ?? []
    const message = format.replaceAll("'", '').replace('%s', 'alice').replaceAll('\\n', '\n')
    const signature = createHmac('sha256', secret).update(message).digest('hex')
    const text = statements
      .replace('somebody', 'alice')
      .replace(":'signature'", `'${signature}'`)
      .replace('app_user', logins.role)
    const client = new pg.Client({ connectionString: logins.serverUrl })
    await client.connect()
    try {
      const results: unknown = await client.query(text)
      expect(results).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ rows: [expect.objectContaining({ title: 'hers' })] }),
        ]),
      )
    } finally {
      await client.end()
    }
  })

  test('is found by the audit', async () => {
    expect(await database.fence()).toMatchObject({ level, gaps: [] })
  })

  /** A careless procedure, which puts user input into the SQL text. */
  const leaks = async (expression: string): Promise<boolean> => {
    const careless = (handle: ReturnType<OpenDatabase['forUser']>) =>
      sql`select id, title, (${sql.raw(expression)})::text as answer from tasks`.execute(handle)
    const alice = database.forUser('alice')
    const answers = await Promise.all([
      careless(alice).catch(error => error.message),
      alice
        .transaction()
        .execute(careless)
        .catch(error => error.message),
    ])
    const again = await alice.selectFrom('tasks').selectAll().execute()
    const { rows } = await sql<{ title: string }>`select title from tasks`.execute(database.forUser('bob'))
    return JSON.stringify([answers, again]).includes('SECRET') || rows[0]?.title !== 'SECRET of bob'
  }

  test('stops every injected expression if it is signed, and not if it is plain', async () => {
    const leaking: string[] = []
    for (const [name, expression] of injections) if (await leaks(expression)) leaking.push(name)
    expect(injections.length).toBeGreaterThanOrEqual(25)
    if (level === 'signed') expect(leaking).toEqual([])
    else expect(leaking.length).toBeGreaterThan(3)
  })
})
