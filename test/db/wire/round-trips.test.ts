import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DatabaseOptions, type OpenDatabase, openDatabase } from '../../../db/index.js'
import { cleanSession } from '../../../db/scoped/session-cleanup.js'
import { migratedDatabase } from '../../parts/database.js'
import { startPostgresProxy } from '../../parts/postgres-proxy.js'

type Handle = ReturnType<OpenDatabase['forUser']>

let migrated: Awaited<ReturnType<typeof migratedDatabase>>
let proxy: Awaited<ReturnType<typeof startPostgresProxy>>
beforeAll(async () => {
  migrated = await migratedDatabase()
  proxy = await startPostgresProxy(migrated.url)
})
afterAll(async () => {
  await proxy[Symbol.asyncDispose]()
  await migrated[Symbol.asyncDispose]()
})

/** A database with one open connection that has sent an identity before, as in normal operation. */
async function openBehindProxy(options: DatabaseOptions = {}) {
  const database = await openDatabase({ url: proxy.url, poolMax: 1, ...options })
  await sql`select 1`.execute(database.forUser('somebody'))
  return { ...database, [Symbol.asyncDispose]: database.close }
}

/**
 * Types of the messages that are sent meanwhile: P(arse), B(ind), D(escribe), E(xecute), C(lose). Each string is one round trip: it
 * ends with a message that asks for an answer, S(ync), Q(uery) or H (flush).
 */
async function sentBy(run: () => Promise<unknown>) {
  proxy.sent = ''
  await run()
  return proxy.sent.match(/.*?[SQH]|.+/g) ?? []
}

const titles = (handle: Handle) => handle.selectFrom('tasks').select('title').where('completed', '=', true)

test('a statement is one round trip and is parsed at most twice; the identity is parsed once', async () => {
  await using database = await openBehindProxy()
  const run = (user: string) => sentBy(() => titles(database.forUser(user)).execute())
  expect([await run('alice'), await run('bob')]).toEqual([['BEPBDES'], ['BEPBDES']])
  expect([await run('carol'), await run('alice')]).toEqual([['BEBDES'], ['BEBDES']])
})

test('a statement is one round trip without prepared statements too', async () => {
  await using database = await openBehindProxy({ preparedStatements: false })
  for (let n = 0; n < 3; n++) {
    expect(await sentBy(() => titles(database.forUser('alice')).execute())).toEqual(['PBEPBDES'])
  }
})

/** The first statement of a transaction, with BEGIN, identity and `discard sequences`; a later one, with the identity; and COMMIT. */
const [first, statement, commit] = ['PBEBEPBEPBDES', 'BEPBDES', 'PBDES']
const cleaning = 'PBE'.repeat(cleanSession.length)

test.each<[string, (alice: Handle) => Promise<unknown>, string[]]>([
  [
    'a transaction begins with its first statement, and sends the identity with each',
    alice =>
      alice.transaction().execute(async trx => {
        const id = crypto.randomUUID()
        await trx.insertInto('tasks').values({ id, title: 'milk' }).execute()
        await trx.updateTable('tasks').set({ title: 'bread' }).where('id', '=', id).execute()
        await trx.deleteFrom('tasks').where('id', '=', id).execute()
      }),
    [first, statement, statement, commit],
  ],
  [
    'a statement that fails is one round trip',
    alice => expect(sql`select 1 / 0`.execute(alice)).rejects.toMatchObject({ code: '22012' }),
    ['BEPBDES'],
  ],
  [
    'a stream fetches its rows in chunks',
    async alice => {
      const rows = alice.selectNoFrom(sql`generate_series(1, 5)`.as('n')).stream(2)
      for await (const _ of rows) {
        // The rows are read to their end.
      }
    },
    [first, statement, statement, statement, commit],
  ],
  [
    'a stream that fails is rolled back',
    async alice => {
      const rows = alice.selectNoFrom(sql`1 / (4 - generate_series(1, 5))`.as('n')).stream(2)
      const read = async () => {
        for await (const _ of rows);
      }
      await expect(read()).rejects.toMatchObject({ code: '22012' })
      await titles(alice).execute()
    },
    [first, statement, statement, 'Q', 'BEPBDES'],
  ],
  [
    'a statement that may leave something behind is one round trip with its transaction and the cleaning',
    alice => sql`select pg_advisory_lock(1)`.execute(alice),
    [`PBEPBEPBEPBDE${cleaning}PBES`],
  ],
  [
    'a transaction is cleaned once, in the round trip of its end',
    alice =>
      alice.transaction().execute(async trx => {
        await sql`select pg_advisory_lock(1)`.execute(trx)
        await sql`select pg_advisory_lock(2)`.execute(trx)
      }),
    [first, statement, `${cleaning}${commit}`],
  ],
  [
    'a transaction is rolled back and cleaned in one round trip',
    alice =>
      alice
        .transaction()
        .execute(async trx => {
          await sql`select pg_advisory_lock(1)`.execute(trx)
          throw new Error('Changed my mind')
        })
        .catch(() => {}),
    [first, 'Q'],
  ],
  [
    'a transaction without statements sends nothing',
    alice => alice.transaction().execute(async () => {}),
    [],
  ],
])('%s', async (_, run, messages) => {
  await using database = await openBehindProxy()
  expect(await sentBy(() => run(database.forUser('alice')))).toEqual(messages)
})
