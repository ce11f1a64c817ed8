import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createClient } from '../../client/index.js'
import { type OpenDatabase, openDatabase } from '../../db/index.js'
import { type AsUser, createAsUser } from '../../examples/drizzle/as-user.js'
import { createNotesRouter, notes } from '../../examples/drizzle/notes.js'
import { up } from '../../examples/notes/router.js'
import { createNodeHandler } from '../../server/index.js'
import { startIssuer } from '../parts/issuer.js'
import { listen } from '../parts/listen.js'
import { type Owned, openMigrated, ownedDatabase } from '../parts/logins.js'

/** Users whom no other test has. */
const twoUsers = () => [{ id: crypto.randomUUID() }, { id: crypto.randomUUID() }] as const

const refused = { cause: { code: '42501' } }

// At the level `plain` the server often has the login that owns the tables.
describe.each(['plain', 'signed'] as const)('examples/drizzle at the level %s', level => {
  let logins: Owned
  let database: OpenDatabase
  let pool: pg.Pool
  let asUser: AsUser
  beforeAll(async () => {
    logins = await ownedDatabase()
    const { role, ownerUrl } = logins
    const secret = level === 'signed' ? randomBytes(32).toString('hex') : undefined
    const serving = await openMigrated(logins, secret)
    const owner = await openDatabase({ url: ownerUrl, role })
    await up(owner.admin)
    database = level === 'signed' ? serving : owner
    await (level === 'signed' ? owner : serving).close()
    pool = new pg.Pool({ connectionString: level === 'signed' ? logins.serverUrl : ownerUrl, max: 1 })
    asUser = createAsUser(database, pool)
  })
  afterAll(async () => {
    await pool.end()
    await database.close()
    await logins[Symbol.asyncDispose]()
  })

  const bodiesOf = (user: { id: string }) =>
    asUser(user, async tx => (await tx.select({ body: notes.body }).from(notes)).map(({ body }) => body))
  const add = (user: { id: string }, body: string) => asUser(user, tx => tx.insert(notes).values({ body }))

  test('the level is reached', async () => {
    expect(await database.fence()).toMatchObject({ level, gaps: [] })
  })

  test('two users see and change only their own rows, without a WHERE', async () => {
    const [alice, bob] = twoUsers()
    await add(alice, 'milk')
    await add(bob, 'bread')
    expect([await bodiesOf(alice), await bodiesOf(bob)]).toEqual([['milk'], ['bread']])
    await asUser(bob, tx => tx.update(notes).set({ body: 'changed' }))
    expect([await bodiesOf(alice), await bodiesOf(bob)]).toEqual([['milk'], ['changed']])
    await asUser(bob, tx => tx.delete(notes))
    expect([await bodiesOf(alice), await bodiesOf(bob)]).toEqual([['milk'], []])
    const forged = asUser(bob, tx => tx.insert(notes).values({ userId: alice.id, body: 'forged' }))
    await expect(forged).rejects.toMatchObject(refused)
  })

  test('a transaction that fails is rolled back, and leaves no user on the connection', async () => {
    const [alice] = twoUsers()
    const failed = asUser(alice, async tx => {
      await tx.insert(notes).values({ body: 'milk' })
      throw new Error('no milk')
    })
    await expect(failed).rejects.toThrow('no milk')
    const { rows } = await drizzle(pool).execute(
      sql`select current_user = session_user as "isLogin", current_setting('app.user_id', true) as "user"`,
    )
    expect(rows).toEqual([{ isLogin: true, user: '' }])
    expect(await bodiesOf(alice)).toEqual([])
  })

  test('outside of the transaction the rights of the login apply', async () => {
    const [alice, bob] = twoUsers()
    await add(alice, 'milk')
    await add(bob, 'bread')
    const kept = await asUser(alice, async tx => tx)
    for (const db of [kept, drizzle(pool)]) {
      const users = db.selectDistinct({ id: notes.userId }).from(notes)
      if (level === 'signed') await expect(users).rejects.toMatchObject(refused)
      else expect(await users).toEqual(expect.arrayContaining([alice, bob]))
    }
  })

  test('the procedures show each caller their own notes', async () => {
    const [alice, bob] = twoUsers()
    await using issuer = await startIssuer()
    const router = createNotesRouter(asUser)
    const handler = createNodeHandler({ verifier: issuer.verifier, database, router })
    await using host = await listen(createServer(handler))
    const as = ({ id }: { id: string }) =>
      createClient<typeof router>({ url: `${host.url}/trpc`, getToken: () => issuer.tokenFor(id) })
    const [note] = await as(alice).add.mutate({ body: 'milk' })
    expect(await as(alice).list.query()).toEqual([{ id: note?.id, body: 'milk' }])
    expect(await as(bob).list.query()).toEqual([])
  })
})
