import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { DatabaseUnavailableError } from '../../../db/errors.js'
import {
  FenceError,
  migrateToLatest,
  type OpenDatabase,
  openDatabase,
  protectTable,
  setUpFence,
} from '../../../db/index.js'
import { levelOf, openMigrated, ownedDatabase } from '../../parts/logins.js'

const secret = randomBytes(32).toString('hex')

test('a change of the secret refuses no request, and the secret before the previous one is invalid', async () => {
  await using logins = await ownedDatabase()
  const { role, ownerUrl, serverUrl } = logins
  const before = await openMigrated(logins, secret)
  const owner = await openDatabase({ url: ownerUrl, role })
  const next = randomBytes(32).toString('hex')
  const after = await openDatabase({ url: serverUrl, role, fenceSecret: next })
  const add = ({ forUser }: OpenDatabase) =>
    forUser('alice').insertInto('tasks').values({ id: crypto.randomUUID(), title: 'x' }).execute()
  try {
    await setUpFence(owner.admin, { role, secret: next })
    await add(before)
    await add(after)
    await setUpFence(owner.admin, { role, secret: next })
    await add(before)
    await setUpFence(owner.admin, { role, secret: randomBytes(32).toString('hex') })
    await add(after)
    await expect(add(before)).rejects.toThrow(DatabaseUnavailableError)
  } finally {
    for (const database of [before, after, owner]) await database.close()
  }
})

test('a server without the secret fails after a change from plain to signed, instead of showing an empty list', async () => {
  await using logins = await ownedDatabase()
  const { role, ownerUrl } = logins
  const server = await openMigrated(logins)
  const owner = await openDatabase({ url: ownerUrl, role })
  const alice = server.forUser('alice')
  try {
    await alice.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'hers' }).execute()
    await setUpFence(owner.admin, { role, secret })
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

test('signed works with tables in another schema, and with a closed public schema', async () => {
  await using logins = await ownedDatabase()
  const database = await openMigrated(logins, secret)
  const owner = await openDatabase({ url: logins.ownerUrl, role: logins.role })
  try {
    await sql`create schema billing`.execute(owner.admin)
    await sql`create table billing.invoices (user_id text, id int, primary key (user_id, id))`.execute(
      owner.admin,
    )
    await protectTable(owner.admin, 'billing.invoices')
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

test('ten processes can set it up at once', async () => {
  await using logins = await ownedDatabase()
  const { role, ownerUrl, server: login } = logins
  await logins.administer(`grant ${login} to ${new URL(ownerUrl).username} with admin option`)
  const owners = await Promise.all(Array.from({ length: 10 }, () => openDatabase({ url: ownerUrl, role })))
  const server = await openDatabase({ url: logins.serverUrl, role, fenceSecret: secret })
  try {
    await Promise.all(owners.map(({ admin: db }) => migrateToLatest(db, { role })))
    const left = await Promise.all(owners.map(({ admin: db }) => setUpFence(db, { role, login, secret })))
    expect(left.flat()).toEqual([])
    expect(await server.fence()).toMatchObject({ level: 'signed', gaps: [] })
  } finally {
    for (const database of [...owners, server]) await database.close()
  }
})

test('a server with a wrong secret is refused, and the report says why', async () => {
  await using logins = await ownedDatabase()
  await (await openMigrated(logins, secret)).close()
  for (const fenceSecret of [undefined, randomBytes(32).toString('hex')]) {
    const stranger = await openDatabase({ url: logins.serverUrl, role: logins.role, fenceSecret })
    const { gaps } = await stranger.fence()
    expect(gaps).toEqual([expect.objectContaining({ object: 'the identity' })])
    await stranger.close()
  }
})

test('a secret that is too short is refused', async () => {
  await using logins = await ownedDatabase()
  await (await openMigrated(logins, secret)).close()
  const owner = await openDatabase({ url: logins.ownerUrl, role: logins.role })
  try {
    const refusal = new TypeError(
      'The fence secret must have at least 32 characters. Create one with: openssl rand -hex 32',
    )
    for (const short of ['', ' ', 'x'.repeat(31)]) {
      await expect(setUpFence(owner.admin, { role: logins.role, secret: short })).rejects.toEqual(refusal)
      await expect(openDatabase({ url: logins.serverUrl, fenceSecret: short })).rejects.toEqual(refusal)
    }
    expect(await levelOf(logins, secret)).toEqual({ level: 'signed', gaps: [] })
  } finally {
    await owner.close()
  }
})

test('signed is refused if the serving login has other rights', async () => {
  await using logins = await ownedDatabase()
  const { role, ownerUrl } = logins
  await (await openMigrated(logins, secret)).close()
  const owner = await openDatabase({ url: ownerUrl, role, fenceSecret: secret, requiredFence: 'signed' })
  try {
    const { level, gaps } = await owner.fence()
    expect([level, gaps.map(gap => gap.object)]).toEqual(['plain', ['the level']])
    await expect(owner.forUser('alice').selectFrom('tasks').selectAll().execute()).rejects.toThrow(FenceError)
  } finally {
    await owner.close()
  }
})

test('the level is not signed while the login has its own grants', async () => {
  await using logins = await ownedDatabase()
  const database = await openMigrated(logins, secret)
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

test('a temporary table named like a type does not affect the identity of the next caller', async () => {
  await using logins = await ownedDatabase()
  const database = await openMigrated(logins, secret)
  const count = (handle: ReturnType<OpenDatabase['forUser']>) =>
    sql`select count(*)::int from tasks`.execute(handle)
  try {
    await database
      .forUser('alice')
      .transaction()
      .execute(async first => {
        await count(first)
        // A second connection, on which user_id() was not called yet. Bob gets it after alice.
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
