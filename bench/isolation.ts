import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { migrateToLatest, openDatabase, setUpFence } from '../db/index.js'

/**
 * What the scope costs: the same statement scoped (plain and signed) and on plain pg, and with BEGIN, set_config and COMMIT sent one
 * by one; in turn, in one process, on one connection each. DATABASE_URL names a database that may be filled and changed.
 */
const url = process.env.DATABASE_URL
if (!url) throw new Error('Set DATABASE_URL to the URL of an empty PostgreSQL database, over TCP.')

const rounds = 40
const calls = 100
const secret = randomBytes(32).toString('hex')
const single = `select * from "tasks" where "user_id" = $1 and "id" = $2`
const identify = `select set_config('app.user_id', $1, true), set_config('role', $2, true), set_config('statement_timeout', $3, true)`

const plain = await openDatabase({ url, poolMax: 1 })
const signed = await openDatabase({ url, poolMax: 1, fenceSecret: secret })
await migrateToLatest(plain.db)
await plain.db.deleteFrom('tasks').execute()
const alice = plain.forUser('alice')
const ids = Array.from({ length: 1000 }, () => crypto.randomUUID())
for (const id of ids)
  await alice
    .insertInto('tasks')
    .values({ id, title: `task ${id}` })
    .execute()
const [id = ''] = ids

const pool = new pg.Pool({ connectionString: url, max: 1 })
const client = new pg.Client({ connectionString: url })
await client.connect()
const oneByOne = async (...statements: [string, unknown[]][]) => {
  const client = await pool.connect()
  await client.query('begin')
  await client.query(identify, ['alice', 'app_user', '15000'])
  for (const [text, values] of statements) await client.query(text, values)
  await client.query('commit')
  client.release()
}
// Compiled once: what Kysely's builder costs is the same with and without isolation.
const query = alice
  .selectFrom('tasks')
  .selectAll()
  .where('user_id', '=', 'alice')
  .where('id', '=', id)
  .compile()
const get = (handle: typeof alice) => handle.executeQuery(query)
const three = (handle: typeof alice) =>
  handle.transaction().execute(async trx => {
    for (let n = 0; n < 3; n++) await get(trx)
  })

type Run = () => Promise<unknown>

/** Time of each in its best round, in microseconds: round by round in turn, so that noise falls on all alike. */
async function measure(runs: Record<string, Run>): Promise<Record<string, number>> {
  const times = new Map<string, number[]>()
  for (let round = -2; round < rounds; round++) {
    for (const [name, run] of Object.entries(runs)) {
      const start = performance.now()
      for (let n = 0; n < calls; n++) await run()
      if (round >= 0)
        times.set(name, [...(times.get(name) ?? []), ((performance.now() - start) * 1000) / calls])
    }
  }
  const median = (values: number[]) =>
    values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
  return Object.fromEntries([...times].map(([name, values]) => [name, median(values)]))
}

const statement: [string, unknown[]] = [single, ['alice', id]]
const common = {
  'pg, no isolation': () => client.query(...statement),
  'pg prepared, no isolation': () => client.query({ name: 'single', text: single, values: statement[1] }),
  'Kysely, no isolation': () => get(plain.db),
  'one by one': () => oneByOne(statement),
  'one by one, three statements': () => oneByOne(statement, statement, statement),
}
const inPlain = await measure({
  ...common,
  scoped: () => get(alice),
  'scoped, three statements': () => three(alice),
})
await setUpFence(plain.db, { role: 'app_user', secret })
const aliceSigned = signed.forUser('alice')
const inSigned = await measure({ ...common, 'scoped, signed': () => get(aliceSigned) })

const ratio = (times: Record<string, number>, base: string, name: string) =>
  ((times[base] ?? Number.NaN) / (times[name] ?? Number.NaN)).toFixed(2)
console.table(
  Object.fromEntries(
    Object.entries({ ...inSigned, ...inPlain }).map(([name, us]) => [name, { us: Math.round(us) }]),
  ),
)
console.table({
  'scoped : pg without isolation': ratio(inPlain, 'pg, no isolation', 'scoped'),
  'scoped : pg prepared, without isolation': ratio(inPlain, 'pg prepared, no isolation', 'scoped'),
  'scoped, signed : pg prepared, without isolation': ratio(
    inSigned,
    'pg prepared, no isolation',
    'scoped, signed',
  ),
  'scoped : Kysely without isolation': ratio(inPlain, 'Kysely, no isolation', 'scoped'),
  'scoped, signed : pg without isolation': ratio(inSigned, 'pg, no isolation', 'scoped, signed'),
  'scoped : one by one': ratio(inPlain, 'one by one', 'scoped'),
  'transaction of three : one by one': ratio(
    inPlain,
    'one by one, three statements',
    'scoped, three statements',
  ),
})
await Promise.all([client.end(), pool.end(), plain.close(), signed.close()])
