import { sql } from 'kysely'
import pg from 'pg'
import { protectTable, setUpFence } from '../db/index.js'
import { type BenchDatabase, benchDatabase } from './bench-database.js'
import { bestOf } from './best-of.js'

const owner = '0b1e6a3c-0000-4000-8000-000000000001'
const uuidText = 'select * from "things" where "owner_id" = $1 and "id" = $2'
const text = 'select * from "tasks" where "user_id" = $1 and "id" = $2'
const identify = `select set_config('app.user_id', $1, true), set_config('role', $2, true), set_config('statement_timeout', $3, true)`

/**
 * Measures reading one row by its key, in microseconds: scoped (plain and signed), with pg alone, and with BEGIN, set_config
 * and COMMIT sent one by one. Each runs on one connection. The owner is a text, or a uuid where it says so.
 *
 * @param url of a login that may create databases
 */
export async function measureStatements(url: string) {
  await using plain = await benchDatabase(url)
  await using signed = await benchDatabase(url)
  await setUpFence(signed.admin, { role: 'app_user', secret: signed.secret })
  const id = await fill(plain)
  await sql`insert into tasks (user_id, id, title) values ('alice', ${id}, 'the same')`.execute(signed.admin)
  await fill(signed)
  const uuidId = await fillThings(plain)
  await fillThings(signed)
  const client = new pg.Client({ connectionString: plain.url })
  await client.connect()
  const oneByOne = async (statements: number) => {
    await client.query('begin')
    await client.query(identify, ['alice', 'app_user', '15000'])
    for (let n = 0; n < statements; n++) await client.query(text, ['alice', id])
    await client.query('commit')
  }
  const own = plain.forUser('alice')
  const ownSigned = signed.forUser('alice')
  // Compiled once, because the query builder costs the same with and without isolation.
  const query = own
    .selectFrom('tasks')
    .selectAll()
    .where('user_id', '=', 'alice')
    .where('id', '=', id)
    .compile()
  const [ownUuid, ownUuidSigned] = [plain.forUser(owner), signed.forUser(owner)]
  const uuidQuery = ownUuid
    .withTables<{ things: { owner_id: string; id: string; title: string } }>()
    .selectFrom('things')
    .selectAll()
    .where('owner_id', '=', owner)
    .where('id', '=', uuidId)
    .compile()
  const three = () =>
    own.transaction().execute(async trx => {
      for (let n = 0; n < 3; n++) await trx.executeQuery(query)
    })
  try {
    return await bestOf(
      {
        'pg, no isolation': () => client.query(text, ['alice', id]),
        'pg prepared by hand, no isolation': () =>
          client.query({ name: 'single', text, values: ['alice', id] }),
        'Kysely, no isolation': () => plain.admin.executeQuery(query),
        'scoped, plain': () => own.executeQuery(query),
        'scoped, signed': () => ownSigned.executeQuery(query),
        'pg, no isolation, uuid': () => client.query(uuidText, [owner, uuidId]),
        'pg prepared by hand, no isolation, uuid': () =>
          client.query({ name: 'uuid', text: uuidText, values: [owner, uuidId] }),
        'scoped, plain, uuid': () => ownUuid.executeQuery(uuidQuery),
        'scoped, signed, uuid': () => ownUuidSigned.executeQuery(uuidQuery),
        'BEGIN, set_config, statement, COMMIT': () => oneByOne(1),
        'transaction of three, scoped': three,
        'transaction of three, one by one': () => oneByOne(3),
      },
      { rounds: 200, calls: 50 },
    )
  } finally {
    await client.end()
  }
}

async function fill({ admin: db }: BenchDatabase): Promise<string> {
  const { rows } = await sql<{ id: string }>`
    insert into tasks (user_id, id, title)
    select 'alice', gen_random_uuid(), 'task ' || number from generate_series(1, 1000) number returning id`.execute(
    db,
  )
  await sql`vacuum analyze tasks`.execute(db)
  return rows[0]?.id ?? ''
}

/** Rows of an application whose users have uuids. The same id in each database. */
async function fillThings({ admin: db }: BenchDatabase): Promise<string> {
  await sql`create table things (owner_id uuid, id uuid, title text, primary key (owner_id, id))`.execute(db)
  await sql`
    insert into things select ${owner}, md5(n::text)::uuid, 'row ' || n from generate_series(1, 1000) n`.execute(
    db,
  )
  await protectTable(db, 'things', { owner: 'owner_id' })
  await sql`vacuum analyze things`.execute(db)
  const { rows } = await sql<{ id: string }>`select id from things limit 1`.execute(db)
  return rows[0]?.id ?? ''
}
