import { createHmac, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import { injectionsOn } from '../../parts/injections.js'
import { type Owned, openMigrated, ownedDatabase } from '../../parts/logins.js'
import {
  createOwnedTables,
  lastTable,
  ownerKinds,
  ownerKindsOfThisRun,
  owners,
  twoCallers,
} from '../../parts/owner-kinds.js'
import { someOf } from '../../parts/some-of.js'

const secret = randomBytes(32).toString('hex')
const kinds = ownerKinds.filter(kind => kind.name === 'text' || ownerKindsOfThisRun.includes(kind))

describe.each(['plain', 'signed'] as const)('the level %s', level => {
  let logins: Owned
  let database: OpenDatabase
  beforeAll(async () => {
    logins = await ownedDatabase()
    database = await openMigrated(logins, level === 'signed' ? secret : undefined, owners)
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

  describe.each(kinds)('with rows of the owners: $name', kind => {
    const table = lastTable(kind)
    const { attacker, victim } = twoCallers(kind, table)
    let injections: ReturnType<typeof injectionsOn>
    beforeAll(async () => {
      const owner = await openDatabase({ url: logins.ownerUrl, role: logins.role })
      if (table.name !== 'tasks') await sql`drop table if exists things`.execute(owner.admin)
      await createOwnedTables(owner, { tables: [table] })
      await sql`delete from ${sql.table(table.name)}`.execute(owner.admin)
      await owner.close()
      for (const [{ user }, title] of [
        [attacker, 'hers'],
        [victim, 'SECRET of bob'],
      ] as const)
        await sql`insert into ${sql.table(table.name)} (id, title) values (gen_random_uuid(), ${title})`.execute(
          database.forUser(user),
        )
      injections = injectionsOn({
        table: table.name,
        setting: table.by === 'user' ? 'app.user_id' : 'app.owner_org',
        signature: table.by === 'user' ? 'app.user_signature' : 'app.owner_org_signature',
        own: attacker.owner,
        victim: victim.owner,
        member:
          table.by === 'org'
            ? { id: victim.user.id, signature: String(database.identityStatement(victim.user).values.at(-1)) }
            : undefined,
      })
    })

    test('is found by the audit', async () => {
      expect(await database.fence()).toMatchObject({ level, gaps: [] })
    })

    /** A careless procedure, which puts user input into the SQL text. */
    const leaks = async (expression: string): Promise<boolean> => {
      const careless = (handle: ReturnType<OpenDatabase['forUser']>) =>
        sql`select id, title, (${sql.raw(expression)})::text as answer from ${sql.table(table.name)}`.execute(
          handle,
        )
      const own = database.forUser(attacker.user)
      const answers = await Promise.all([
        careless(own).catch(error => error.message),
        own
          .transaction()
          .execute(careless)
          .catch(error => error.message),
      ])
      const again = await sql`select * from ${sql.table(table.name)}`.execute(own)
      const { rows } = await sql<{ title: string }>`select title from ${sql.table(table.name)}`.execute(
        database.forUser(victim.user),
      )
      return JSON.stringify([answers, again.rows]).includes('SECRET') || rows[0]?.title !== 'SECRET of bob'
    }
    const leaking = async (step: number) => {
      const names: string[] = []
      for (const [name, expression] of someOf(injections, step)) if (await leaks(expression)) names.push(name)
      return names
    }

    test('stops every injected expression if it is signed, and not if it is plain', async () => {
      // In `npm test` a third of them on the tasks, and a few on the other tables.
      const names = await leaking(table.name === 'tasks' ? 3 : 12)
      expect(injections.length).toBeGreaterThanOrEqual(25)
      if (level === 'signed') expect(names).toEqual([])
      else expect(names).toContain('the id set')
    })

    if (level === 'signed')
      test('the test above would fail if the signature were not checked', async () => {
        const [name, body] =
          table.by === 'user'
            ? ['user_id()', `'app.user_id'`]
            : ['owner_id(name text)', `'app.owner_' || name`]
        const [before] = await logins.administer(
          `select pg_get_functiondef('trpc_bearer.${name.replace('name ', '')}'::regprocedure) as definition`,
        )
        await logins.administer(
          `create or replace function trpc_bearer.${name} returns text language sql stable parallel safe
             as $$ select nullif(current_setting(${body}, true), '') $$`,
        )
        const [, idSet = ''] = injections.find(([name]) => name === 'the id set') ?? []
        expect(await leaks(idSet)).toBe(true)
        await logins.administer(before.definition)
        expect(await leaks(idSet)).toBe(false)
      })
  })
})
