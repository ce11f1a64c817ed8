import { createHmac, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  FenceError,
  migrateToLatest,
  type OpenDatabase,
  openDatabase,
  protectTable,
  setUpFence,
} from '../db/index.js'
import { DatabaseUnavailableError } from '../db/unavailable.js'
import { emptyDatabase } from './parts/database.js'
import { injections } from './parts/injections.js'
import { runStatements } from './parts/run-statements.js'

const secret = randomBytes(32).toString('hex')

/** A database as managed PostgreSQL gives it: an owner that migrates, neither superuser nor owner of the cluster, and a login that serves. */
async function twoLogins() {
  const empty = await emptyDatabase()
  const id = randomBytes(4).toString('hex')
  const [owner, server, role] = [`owner_${id}`, `server_${id}`, `role_${id}`]
  const administer = (...statements: string[]) => runStatements(empty.url, ...statements)
  await administer(
    `create role ${owner} login createrole password 'owner'`,
    `create role ${server} login noinherit password 'server'`,
    `alter database ${new URL(empty.url).pathname.slice(1)} owner to ${owner}`,
    `grant create on schema public to ${owner}`,
  )
  const urlOf = (login: string, password: string) => {
    const url = new URL(empty.url)
    url.username = login
    url.password = password
    return url.href
  }
  return {
    role,
    server,
    ownerUrl: urlOf(owner, 'owner'),
    serverUrl: urlOf(server, 'server'),
    administer,
    async [Symbol.asyncDispose]() {
      await administer(
        `drop owned by ${owner} cascade`,
        `reassign owned by ${owner} to current_user`,
        `drop owned by ${server}, ${role} cascade`,
      ).catch(() => {})
      await empty[Symbol.asyncDispose]()
    },
  }
}

/** Opens it for the login that serves, after the owner has migrated. */
async function migrated(logins: Awaited<ReturnType<typeof twoLogins>>, level: 'plain' | 'signed') {
  const { role, ownerUrl, serverUrl, server: login } = logins
  const owner = await openDatabase({ url: ownerUrl, role })
  await migrateToLatest(owner.db, { role })
  const left = await setUpFence(owner.db, { role, login, secret: level === 'signed' ? secret : undefined })
  await owner.close()
  // On PostgreSQL 15 a login with CREATEROLE may do both, from 16 on the second is the administrator's.
  await logins.administer(...left)
  return openDatabase({ url: serverUrl, role, fenceSecret: level === 'signed' ? secret : undefined })
}

test('the secret is changed without a refused request, and the one before the last is worth nothing', async () => {
  await using logins = await twoLogins()
  const { role, ownerUrl, serverUrl } = logins
  const before = await migrated(logins, 'signed')
  const owner = await openDatabase({ url: ownerUrl, role })
  const next = randomBytes(32).toString('hex')
  const after = await openDatabase({ url: serverUrl, role, fenceSecret: next })
  const add = ({ forUser }: OpenDatabase) =>
    forUser('alice').insertInto('tasks').values({ id: crypto.randomUUID(), title: 'x' }).execute()
  try {
    await setUpFence(owner.db, { role, secret: next })
    await add(before)
    await add(after)
    await setUpFence(owner.db, { role, secret: next })
    await add(before)
    await setUpFence(owner.db, { role, secret: randomBytes(32).toString('hex') })
    await add(after)
    await expect(add(before)).rejects.toThrow(DatabaseUnavailableError)
  } finally {
    for (const database of [before, after, owner]) await database.close()
  }
})

test('a server without the secret, while plain becomes signed, says that it cannot and shows no empty list', async () => {
  await using logins = await twoLogins()
  const { role, ownerUrl } = logins
  const server = await migrated(logins, 'plain')
  const owner = await openDatabase({ url: ownerUrl, role })
  const alice = server.forUser('alice')
  try {
    await alice.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'hers' }).execute()
    await setUpFence(owner.db, { role, secret })
    await expect(alice.selectFrom('tasks').select('title').execute()).rejects.toThrow(
      DatabaseUnavailableError,
    )
    expect(await server.fence()).toMatchObject({ gaps: [{ object: 'the identity' }] })
    await expect(alice.selectFrom('tasks').select('title').execute()).rejects.toThrow(FenceError)
  } finally {
    await server.close()
    await owner.close()
  }
})

test('tables in a schema of their own, and a public schema that is closed, are served under signed', async () => {
  await using logins = await twoLogins()
  const database = await migrated(logins, 'signed')
  const owner = await openDatabase({ url: logins.ownerUrl, role: logins.role })
  try {
    await sql`create schema billing`.execute(owner.db)
    await sql`create table billing.invoices (user_id text, id int, primary key (user_id, id))`.execute(
      owner.db,
    )
    await protectTable(owner.db, 'billing.invoices')
    await logins.administer('revoke all on schema public from public')
    expect(await database.fence()).toEqual({ level: 'signed', gaps: [] })
    const alice = database.forUser('alice')
    await sql`insert into billing.invoices (id) values (1)`.execute(alice)
    await alice.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'hers' }).execute()
    await logins.administer(`revoke insert on tasks from ${logins.role}`)
    expect((await database.fence()).gaps).toEqual([expect.objectContaining({ object: 'public.tasks' })])
  } finally {
    await owner.close()
    await database.close()
  }
})

test('ten that set it up at once: nobody is in the way of another', async () => {
  await using logins = await twoLogins()
  const { role, ownerUrl, server: login } = logins
  await logins.administer(`grant ${login} to ${new URL(ownerUrl).username} with admin option`)
  const owners = await Promise.all(Array.from({ length: 10 }, () => openDatabase({ url: ownerUrl, role })))
  const server = await openDatabase({ url: logins.serverUrl, role, fenceSecret: secret })
  try {
    await Promise.all(owners.map(({ db }) => migrateToLatest(db, { role })))
    const left = await Promise.all(owners.map(({ db }) => setUpFence(db, { role, login, secret })))
    expect(left.flat()).toEqual([])
    expect(await server.fence()).toMatchObject({ level: 'signed', gaps: [] })
  } finally {
    for (const database of [...owners, server]) await database.close()
  }
})

test('a server with another secret is refused, and told why', async () => {
  await using logins = await twoLogins()
  await (await migrated(logins, 'signed')).close()
  for (const fenceSecret of [undefined, randomBytes(32).toString('hex')]) {
    const stranger = await openDatabase({ url: logins.serverUrl, role: logins.role, fenceSecret })
    const { gaps } = await stranger.fence()
    expect(gaps).toEqual([expect.objectContaining({ object: 'the identity' })])
    await stranger.close()
  }
})

test('signed is refused where a login with power serves', async () => {
  await using logins = await twoLogins()
  const { role, ownerUrl } = logins
  await (await migrated(logins, 'signed')).close()
  const owner = await openDatabase({ url: ownerUrl, role, fenceSecret: secret, requiredFence: 'signed' })
  try {
    const { level, gaps } = await owner.fence()
    expect([level, gaps.map(gap => gap.object)]).toEqual(['plain', ['the level']])
    await expect(owner.forUser('alice').selectFrom('tasks').selectAll().execute()).rejects.toThrow(FenceError)
  } finally {
    await owner.close()
  }
})

test('signed does not stand under a login that was granted something for itself', async () => {
  await using logins = await twoLogins()
  const database = await migrated(logins, 'signed')
  const { administer, server } = logins
  try {
    for (const [grant, revoke] of [
      [`create table sessions (token text); grant select on sessions to ${server}`, 'drop table sessions'],
      [`grant update (title) on tasks to ${server}`, `revoke all on tasks from ${server}`],
      [`create schema own authorization ${server}`, 'drop schema own'],
    ] as const) {
      await administer(grant)
      expect((await database.fence()).level).toBe('plain')
      await administer(revoke)
      expect((await database.fence()).level).toBe('signed')
    }
  } finally {
    await database.close()
  }
})

test('a temporary table named as a type does not spoil the identity of the next caller', async () => {
  await using logins = await twoLogins()
  const database = await migrated(logins, 'signed')
  const count = (handle: ReturnType<OpenDatabase['forUser']>) =>
    sql`select count(*)::int from tasks`.execute(handle)
  try {
    await database
      .forUser('alice')
      .transaction()
      .execute(async first => {
        await count(first)
        // On a connection on which nobody has asked for the identity yet, and then bob after alice on that one.
        await database
          .forUser('alice')
          .transaction()
          .execute(async second => {
            await sql`select 1 as x into temporary "text"`.execute(second)
            await count(second)
          })
        expect((await count(database.forUser('bob'))).rows).toEqual([{ count: 0 }])
      })
  } finally {
    await database.close()
  }
})

describe.each(['plain', 'signed'] as const)('the level %s', level => {
  let logins: Awaited<ReturnType<typeof twoLogins>>
  let database: OpenDatabase
  beforeAll(async () => {
    logins = await twoLogins()
    database = await migrated(logins, level)
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

  test('is seen with psql as the README says', async () => {
    const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
    const [statements = ''] = /^begin;[^`]+/m.exec(readme) ?? []
    // As openssl does in the line before.
    const signature = createHmac('sha256', secret).update('alice').digest('hex')
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

  test('is found by trying', async () => {
    expect(await database.fence()).toEqual({ level, gaps: [] })
  })

  /** What a careless procedure does: puts what somebody sends into the text of its WHERE. */
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

  test('lets no injected expression out, or is seen to', async () => {
    const out: string[] = []
    for (const [name, expression] of injections) if (await leaks(expression)) out.push(name)
    expect(injections.length).toBeGreaterThanOrEqual(25)
    if (level === 'signed') expect(out).toEqual([])
    else expect(out.length).toBeGreaterThan(3)
  })
})
