import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { DatabaseUnavailableError } from '../../../db/errors.js'
import { FenceError, type OpenDatabase, openDatabase, protectTable, setUpFence } from '../../../db/index.js'
import { StatementRefusedError } from '../../../db/scoped/allowed-statements.js'
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

if (process.env.LONG_TESTS) {
  test('at the level signed, a statement that must be cleaned up after keeps its connection, as at the level plain', async () => {
    for (const level of ['plain', 'signed']) {
      await using logins = await ownedDatabase()
      const database = await openMigrated(logins, level === 'signed' ? secret : undefined)
      try {
        const alice = database.forUser('alice')
        const pids = new Set<number>()
        for (let n = 0; n < 3; n++) {
          const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(alice)
          pids.add(rows[0]?.pid ?? n)
        }
        expect([level, pids.size]).toEqual([level, 1])
      } finally {
        await database.close()
      }
    }
  })
}

test('a conditional upsert shows no row of another user', async () => {
  await using logins = await ownedDatabase()
  await (await openMigrated(logins, secret)).close()
  const owner = await openDatabase({ url: logins.ownerUrl, role: logins.role })
  const server = await openDatabase({ url: logins.serverUrl, role: logins.role, fenceSecret: secret })
  try {
    await sql`create table accounts (id serial primary key, user_id text, body text)`.execute(owner.admin)
    await protectTable(owner.admin, 'accounts')
    await sql`insert into accounts (id, body) values (1, 'IBAN DE89')`.execute(server.forUser('bob'))
    expect((await server.fence()).level).toBe('signed')
    const injected = sql`insert into accounts (id, body) values (1, 'x') on conflict (id) do update set body = 'x' where accounts.body::int > 0`
    await expect(injected.execute(server.forUser('alice'))).rejects.toThrow(StatementRefusedError)
    const whole = sql`insert into accounts (id, body) values (1, 'x') on conflict (id) do update set body = 'x'`
    await expect(whole.execute(server.forUser('alice'))).rejects.toThrow('row-level security')
    await whole.execute(server.forUser('bob'))
  } finally {
    await owner.close()
    await server.close()
  }
})

if (process.env.LONG_TESTS) {
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
      expect(await levelOf(logins, secret)).toEqual({ level: 'signed', gaps: [], notes: [] })
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
      await expect(owner.forUser('alice').selectFrom('tasks').selectAll().execute()).rejects.toThrow(
        FenceError,
      )
    } finally {
      await owner.close()
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
}
