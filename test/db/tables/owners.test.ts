import { randomBytes, randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { isRefusedByPolicy } from '../../../db/errors.js'
import { type OpenDatabase, openDatabase, protectTable } from '../../../db/index.js'
import { type OwnerType, ownerTypes } from '../../../db/tables/owner.js'
import { policyStatements } from '../../../db/tables/policies.js'
import type { User } from '../../../shared/user.js'
import { openTestDatabase } from '../../parts/database.js'
import { type Owned, openMigrated, ownedDatabase } from '../../parts/logins.js'
import { someOf } from '../../parts/some-of.js'

declare module 'trpc-bearer/shared' {
  interface User {
    orgId?: string | undefined
  }
}

const secret = randomBytes(32).toString('hex')
const owners = { org: (user: User) => user.orgId }

type Tables = {
  notes: { id: number; owner: string; body: string }
  projects: { id: string; org_id: string; name: string }
}

/** Two ids that fit each type of an owner column. */
const idsOf: Record<string, () => [alice: string, bob: string]> = {
  text: () => [randomUUID(), "bob's id"],
  'varchar(36)': () => [randomUUID(), randomUUID()],
  varchar: () => ['alice', 'Alice'],
  uuid: () => [randomUUID(), randomUUID()],
  bigint: () => ['9223372036854775807', '70'],
  integer: () => ['7', '-2147483648'],
}

describe.each(['plain', 'signed'] as const)('at the level %s', level => {
  let logins: Owned
  let admin: OpenDatabase
  let database: OpenDatabase
  const fenceSecret = level === 'signed' ? secret : undefined
  beforeAll(async () => {
    logins = await ownedDatabase()
    await (await openMigrated(logins, fenceSecret)).close()
    admin = await openDatabase({ url: logins.ownerUrl, role: logins.role })
    database = await openDatabase({
      url: logins.serverUrl,
      role: logins.role,
      fenceSecret,
      owners,
      poolMax: 2,
    })
  })
  afterAll(async () => {
    await admin.close()
    await database.close()
    await logins[Symbol.asyncDispose]()
  })
  const tables = (handle: OpenDatabase['admin']): Kysely<Tables> => handle.withTables<Tables>()
  const as = (user: User | string) => tables(database.forUser(user))
  const bodies = async (db: Kysely<Tables>) =>
    (await db.selectFrom('notes').select('body').orderBy('body').execute()).map(row => row.body)

  describe.each(someOf(Object.entries(idsOf), 3))(
    'a table with an owner of type %s and a serial key',
    (type, ids) => {
      const [alice, bob] = ids()
      beforeAll(async () => {
        await sql`drop table if exists notes`.execute(admin.admin)
        await sql`create table notes (id serial primary key, owner ${sql.raw(type)}, body text)`.execute(
          admin.admin,
        )
        await sql`insert into notes (owner, body) values (${alice}, 'hers'), (${bob}, 'his'), (null, 'nobody''s')`.execute(
          admin.admin,
        )
        await protectTable(admin.admin, 'notes', { owner: 'owner' })
      })

      test('has no gap, and its level is kept', async () => {
        expect(await database.fence()).toMatchObject({ level, gaps: [] })
      })

      test('shows each caller their own rows, in a statement, a transaction and a stream', async () => {
        expect(await bodies(as(alice))).toEqual(['hers'])
        expect(await as(bob).transaction().execute(bodies)).toEqual(['his'])
        const streamed: string[] = []
        for await (const { body } of as(bob).selectFrom('notes').select('body').stream()) streamed.push(body)
        expect(streamed).toEqual(['his'])
        expect(await bodies(as('somebody else'))).toEqual([])
      })

      test('may have policies without a subquery, as Citus demands', async () => {
        const owner = { column: 'owner', type: ownerTypeOf(type), by: 'user' }
        for (const form of ['inline', 'once'] as const) {
          for (const statement of policyStatements('notes', logins.role, owner, form))
            await sql.raw(statement).execute(admin.admin)
          expect(await database.fence()).toMatchObject({ level, gaps: [] })
          expect([await bodies(as(alice)), await bodies(as(bob))]).toEqual([['hers'], ['his']])
        }
      })

      test('the owner of the table sees every row', async () => {
        expect(await bodies(tables(admin.admin))).toEqual(['hers', 'his', "nobody's"])
      })

      test('new rows belong to the caller, and to nobody else', async () => {
        const row = await as(alice)
          .insertInto('notes')
          .values({ body: 'new' } as never)
          .returning(['owner', 'id'])
          .executeTakeFirstOrThrow()
        expect(String(row.owner)).toBe(alice)
        const refused = { code: '42501' }
        const forged = { owner: bob, body: 'forged' } as never
        await expect(as(alice).insertInto('notes').values(forged).execute()).rejects.toMatchObject(refused)
        const given = as(alice)
          .updateTable('notes')
          .set({ owner: bob } as never)
        await expect(given.execute()).rejects.toMatchObject(refused)
        const lost = as(alice)
          .updateTable('notes')
          .set({ owner: null } as never)
        await expect(lost.execute()).rejects.toMatchObject(refused)
        expect(
          (await as(bob).deleteFrom('notes').where('id', '=', row.id).executeTakeFirst()).numDeletedRows,
        ).toBe(0n)
        expect(
          (await as(alice).deleteFrom('notes').where('id', '=', row.id).executeTakeFirst()).numDeletedRows,
        ).toBe(1n)
      })

      test('a changed setting does not open the rows of others if the identity is signed', async () => {
        const injected = sql<{ seen: string | null }>`
        select concat(set_config('app.user_id', ${bob}, true), ' ',
          query_to_xml('select body from notes', true, true, '')) as seen`
        const seen = await injected.execute(database.forUser(alice)).then(({ rows }) => rows[0]?.seen, String)
        if (level === 'signed') expect(seen).not.toContain('his')
        else expect(seen).toContain('his')
      })

      test('the identity is read once for each of the two policies', async () => {
        const { rows } = await sql<Record<'QUERY PLAN', string>>`explain verbose select * from notes`.execute(
          database.forUser(alice),
        )
        const plan = rows.map(row => row['QUERY PLAN']).join('\n')
        const read = level === 'signed' ? 'trpc_bearer.user_id()' : `'app.user_id'`
        expect(plan.split(read)).toHaveLength(3)
      })

      test('an index serves the policy', async () => {
        await sql`
        insert into notes (owner, body) select ${alice}, 'many' from generate_series(1, 3000)`.execute(
          admin.admin,
        )
        await sql`analyze notes`.execute(admin.admin)
        const { rows } = await sql<Record<'QUERY PLAN', string>>`explain select * from notes`.execute(
          database.forUser(bob),
        )
        expect(rows.map(row => row['QUERY PLAN']).join('\n')).toContain('Index')
      })
    },
  )

  describe('rows of an organisation', () => {
    const [acme, globex] = ['acme', 'globex']
    const alice = { id: 'alice', orgId: acme }
    const aaron = { id: 'aaron', orgId: acme }
    const bob = { id: 'bob', orgId: globex }
    const names = async (user: User) =>
      (await as(user).selectFrom('projects').select('name').orderBy('name').execute()).map(row => row.name)
    beforeAll(async () => {
      await sql`drop table if exists notes`.execute(admin.admin)
      await sql`create table projects (id uuid primary key default gen_random_uuid(), org_id text, name text)`.execute(
        admin.admin,
      )
      await sql`create table notes (id serial primary key, owner text, body text)`.execute(admin.admin)
      await protectTable(admin.admin, 'projects', { owner: 'org_id', by: 'org' })
      await protectTable(admin.admin, 'notes', { owner: 'owner' })
    })

    test('are shared by its members, and nobody else sees or changes them', async () => {
      await as(alice)
        .insertInto('projects')
        .values({ name: 'rocket' } as never)
        .execute()
      await as(bob)
        .insertInto('projects')
        .values({ name: 'laser' } as never)
        .execute()
      expect([await names(alice), await names(aaron), await names(bob)]).toEqual([
        ['rocket'],
        ['rocket'],
        ['laser'],
      ])
      const stolen = as(bob)
        .insertInto('projects')
        .values({ org_id: acme, name: 'forged' } as never)
      await expect(stolen.execute()).rejects.toMatchObject({ code: '42501' })
      expect(
        (await as(bob).updateTable('projects').set({ name: 'mine' }).executeTakeFirst()).numUpdatedRows,
      ).toBe(1n)
      expect(await names(alice)).toEqual(['rocket'])
      expect(await database.fence()).toMatchObject({ level, gaps: [] })
    })

    test('and rows of the caller are in one query and one transaction', async () => {
      await as(aaron)
        .transaction()
        .execute(async trx => {
          await trx
            .insertInto('notes')
            .values({ body: 'private' } as never)
            .execute()
          const rows = await trx
            .selectFrom('notes')
            .innerJoin('projects', join => join.onTrue())
            .select(['body', 'name'])
            .execute()
          expect(rows).toEqual([{ body: 'private', name: 'rocket' }])
        })
      expect(await bodies(as(alice))).toEqual([])
    })

    test('a server that does not know the organisations has a note, and shows no rows', async () => {
      const without = await openDatabase({ url: logins.serverUrl, role: logins.role, fenceSecret })
      expect((await without.fence()).notes).toContainEqual(
        expect.objectContaining({
          object: 'public.projects',
          fix: '-- openDatabase({ owners: { org: user => … } })',
        }),
      )
      expect(await tables(without.forUser(alice)).selectFrom('projects').selectAll().execute()).toEqual([])
      await without.close()
    })

    test('somebody in two organisations sees those of the active one', async () => {
      expect([
        await names({ id: 'carol', orgId: acme }),
        await names({ id: 'carol', orgId: globex }),
      ]).toEqual([['rocket'], expect.not.arrayContaining(['rocket'])])
    })

    test.each([undefined, ''])(
      'somebody without an organisation (%j) sees none and creates none',
      async orgId => {
        const nobody = { id: 'nobody', ...(orgId !== undefined && { orgId }) }
        expect(await names(nobody)).toEqual([])
        expect(await names({ id: acme })).toEqual([])
        const created = as(nobody)
          .insertInto('projects')
          .values({ name: 'lost' } as never)
        await expect(created.execute()).rejects.toMatchObject({ code: '42501' })
      },
    )

    test('the organisation of one caller does not stay on the connection for the next', async () => {
      const users = [alice, { id: 'dave' }, bob, { id: 'alice' }]
      for (let n = 0; n < 12; n++) {
        const user = users[n % users.length] ?? alice
        expect(await names(user)).toEqual(user === alice ? ['rocket'] : user === bob ? ['mine'] : [])
      }
    })

    test('injected SQL does not enter another organisation if the identity is signed', async () => {
      for (const [name, setting] of [
        ['another value', `set_config('app.owner_org', 'globex', true)`],
        [
          'a value with the signature of the user',
          `set_config('app.owner_org', 'globex', true), set_config('app.owner_org_signature', current_setting('app.user_signature', true), true)`,
        ],
        [
          'the id of another user',
          `set_config('app.user_id', 'bob', true), set_config('app.owner_org', 'globex', true)`,
        ],
      ]) {
        const seen = await sql<{ seen: string }>`
          select concat(${sql.raw(setting ?? '')}, query_to_xml('select name from projects', true, true, '')) as seen`
          .execute(database.forUser(alice))
          .then(({ rows }) => rows[0]?.seen, String)
        if (level === 'signed') expect(seen, name).not.toContain('mine')
      }
    })

    test('a signature that a former member has kept does not count two hours later', async () => {
      if (level === 'plain') return
      // PostgreSQL keeps its own time.
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 7_200_000 })
      await expect(names(alice)).rejects.toThrow()
      for (const hours of [1, 2]) {
        vi.setSystemTime(Date.now() + 3_600_000 * hours)
        expect(await names(alice)).toEqual(['rocket'])
      }
      vi.useRealTimers()
    })

    test('a signature counts only for the user and the organisation that it was made for', async () => {
      if (level === 'plain') return
      const { rows } = await sql<{ signature: string }>`
        select current_setting('app.owner_org_signature') as signature`.execute(database.forUser(bob))
      const replayed = sql`
        select set_config('app.owner_org', 'globex', true), set_config('app.owner_org_signature', ${rows[0]?.signature ?? ''}, true),
          query_to_xml('select name from projects', true, true, '')::text as seen`
      await expect(replayed.execute(database.forUser(alice))).rejects.toThrow()
    })
  })

  describe('identityStatement', () => {
    test.each([{ id: 'alice', orgId: 'acme' }, { id: 'bob', orgId: 'globex' }, { id: 'carol' }])(
      'makes a transaction of plain pg that of %j',
      async user => {
        const client = new pg.Client({ connectionString: logins.serverUrl })
        await client.connect()
        try {
          await client.query('begin')
          const { text, values } = database.identityStatement(user)
          await client.query(text, values)
          const seen = await client.query('select name from projects order by name')
          const path = await client.query(
            'select current_setting($$search_path$$) as path, current_user as role',
          )
          await client.query('commit')
          const expected = await as(user).selectFrom('projects').select('name').orderBy('name').execute()
          expect(seen.rows).toEqual(expected)
          expect(path.rows).toEqual([{ path: `${logins.server}, public, pg_temp`, role: logins.role }])
          await expect(client.query('select name from projects')).rejects.toMatchObject({ code: '42501' })
        } finally {
          await client.end()
        }
      },
    )
  })
})

const ownerTypeOf = (type: string) =>
  ownerTypes.find(known => known === type) ?? ('character varying' satisfies OwnerType)

test.each([
  ['text', 'x'.repeat(255), true],
  ['varchar', 'x'.repeat(255), true],
  ['varchar(255)', 'é'.repeat(255), true],
  ['varchar(300)', 'x'.repeat(255), true],
  ['varchar(36)', 'é'.repeat(36), true],
  ['varchar(36)', `${'x'.repeat(35)}\n`, true],
  ['varchar(36)', 'x'.repeat(37), false],
  ['varchar(36)', `${'x'.repeat(36)}\n`, false],
  ['varchar(36)', `${'x'.repeat(36)} `, false],
  ['varchar(1)', '12', false],
  ['uuid', 'alice', false],
  ['integer', '12345678901', false],
])(
  'an insert for an owner of type %s and the id %j has an owner or is refused by the policy',
  async (type, id, fits) => {
    await using database = await openTestDatabase('PostgreSQL')
    await sql`create table things (person ${sql.raw(type)} not null, body text)`.execute(database.admin)
    await protectTable(database.admin, 'things', { owner: 'person' })
    const insert = sql`insert into things (body) values ('hers')`
    const error = await insert.execute(database.forUser(id)).then(
      () => null,
      failure => failure,
    )
    expect(isRefusedByPolicy(error)).toBe(!fits)
    const { rows } = await sql`select person from things`.execute(database.forUser(id))
    expect(rows).toEqual(fits ? [{ person: id }] : [])
    expect((await database.fence()).gaps).toEqual([])
  },
)

test('a default of an earlier version in a varchar(36) is replaced by the next protectTable, and its policies stay recognised', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const run = (text: string) => sql.raw(text).execute(database.admin)
  await run(`create table things (person varchar(36) default 'nobody')`)
  await protectTable(database.admin, 'things', { owner: 'person' })
  await run(`alter table things alter person set default coalesce(trpc_bearer.user_id(), 'nobody'::text)`)
  expect((await database.fence()).gaps).toEqual([])
  await protectTable(database.admin, 'things', { owner: 'person' })
  const { rows } = await run(
    `select pg_get_expr(adbin, adrelid) as text from pg_attrdef where adrelid = 'things'::regclass`,
  )
  expect(rows).toEqual([{ text: expect.stringContaining('{0,36}') }])
  await run('insert into things default values')
  expect((await run('select person from things')).rows).toEqual([{ person: 'nobody' }])
})

test.each(['user', 'Org', '1org', 'org-id', "org'", ''])('owners cannot have the name %j', async name => {
  const opened = openDatabase({ url: 'postgres://127.0.0.1:1/nothing', owners: { [name]: () => 'acme' } })
  await expect(opened).rejects.toThrow(TypeError)
})

test.each(['a\0b', 'x'.repeat(256), { id: 1 }, ['acme'], true, 1.5, Number.NaN, () => 'acme'])(
  'a value of owners that cannot own rows is refused: %j',
  async value => {
    const owners = { org: () => value as string }
    const database = await openDatabase({ url: 'postgres://127.0.0.1:1/nothing', owners })
    expect(() => database.forUser('alice')).toThrow(
      'owners.org must return a string of at most 255 characters',
    )
    await database.close()
  },
)
