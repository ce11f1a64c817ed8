import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { wireOf } from '../../../db/wire/protocol.js'
import { dataDir } from '../../parts/database.js'

// All connections to the embedded database share one session of PostgreSQL.

async function openEmbedded() {
  const folder = await dataDir()
  const database = await openDatabase({ dataDir: folder.path })
  const connect = async () => {
    const client = new pg.Client({ host: folder.path, user: 'postgres', database: 'postgres' })
    client.on('error', () => {})
    await client.connect()
    return client
  }
  return {
    ...database,
    connect,
    async [Symbol.asyncDispose]() {
      await database.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

let database: Awaited<ReturnType<typeof openEmbedded>>
beforeAll(async () => {
  database = await openEmbedded()
})
afterAll(() => database[Symbol.asyncDispose]())

/** Sends an identity without its statement. */
function sendIdentity(client: pg.Client) {
  const wire = wireOf(client.connection)
  wire.parse({
    text: "select set_config('app.user_id', 'alice', true), set_config('role', 'app_user', true)",
  })
  wire.bind({})
  wire.execute({})
  return wire
}

const whoAmI = async (client: pg.Client) => {
  const { rows } = await client.query('select current_user as role, pg_my_temp_schema()::int as temporary')
  return rows
}

test('a lock of a lost connection is gone for the next one', async () => {
  await database
    .forUser('alice')
    .connection()
    .execute(async connection => {
      sql`select pg_advisory_lock(42), pg_sleep(0.2)`.execute(connection).catch(() => {})
      await new Promise(done => setTimeout(done, 50))
    })
  const { rows } = await sql`select count(*)::int from pg_locks where locktype = 'advisory'`.execute(
    database.admin,
  )
  expect(rows).toEqual([{ count: 0 }])
})

test('messages of another connection wait between an identity and its statement', async () => {
  const [alice, other] = [await database.connect(), await database.connect()]
  const wire = sendIdentity(alice)
  await new Promise(done => setTimeout(done, 200))
  let isAnswered = false
  const answer = whoAmI(other).finally(() => {
    isAnswered = true
  })
  await new Promise(done => setTimeout(done, 200))
  expect(isAnswered).toBe(false)
  wire.sync()
  expect(await answer).toEqual([{ role: 'postgres', temporary: 0 }])
  await Promise.all([alice.end(), other.end()])
})

test.each([
  ['between an identity and its statement', ''],
  ['after a failed statement', 'selec 1'],
])('a connection that is lost %s leaves no identity behind', async (_, text) => {
  const alice = await database.connect()
  const wire = sendIdentity(alice)
  if (text !== '') {
    wire.parse({ text })
  }
  await new Promise(done => setTimeout(done, 200))
  wire.stream.destroy()
  const other = await database.connect()
  expect(await whoAmI(other)).toEqual([{ role: 'postgres', temporary: 0 }])
  await other.end()
  expect(await database.admin.selectFrom('tasks').select('id').execute()).toEqual([])
})
