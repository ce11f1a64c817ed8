import { randomBytes } from 'node:crypto'
import { type CompiledQuery, sql } from 'kysely'
import { migrateToLatest, type OpenDatabase, openDatabase, setUpFence } from '../db/index.js'
import { encodeCursor } from '../server/cursor.js'
import { fillTasks } from '../test/parts/fill-tasks.js'
import { type Caller, statementsOf } from '../test/parts/sent-statements.js'

const rounds = 40
const calls = 50
const searches = 5
const many = 200_000

/** What lists cost where there are many tasks, in one level. */
export interface PageCosts {
  /** Of the first page, in microseconds. */
  first: number
  /** Of the deepest page, in microseconds. */
  deepest: number
  /** Of a search that reads all tasks of its user, in milliseconds per 100,000 of them. */
  search: number
}

/**
 * What a page costs, the first and the deepest, and what a search costs, with 1,000,000 tasks of 10,000 users and 200,000 more of
 * one: plain and signed, through the scoped handle, on one connection.
 *
 * @param url of a login that may create databases: it takes a database of its own, and drops it
 */
export async function measurePages(url: string): Promise<Record<'plain' | 'signed', PageCosts>> {
  const name = `bench_${randomBytes(6).toString('hex')}`
  const own = new URL(url)
  own.pathname = `/${name}`
  const server = await openDatabase({ url })
  await sql`create database ${sql.id(name)}`.execute(server.db)
  const fenceSecret = randomBytes(32).toString('hex')
  const database = await openDatabase({ url: own.href, poolMax: 1, statementTimeout: 600, fenceSecret })
  try {
    await migrateToLatest(database.db)
    await fillTasks(database.db, { tasks: 1_000_000, users: 10_000, many, imported: 20_000 })
    const plain = await measure(database)
    await setUpFence(database.db, { role: 'app_user', secret: fenceSecret })
    return { plain, signed: await measure(database) }
  } finally {
    await database.close()
    await sql`drop database ${sql.id(name)}`.execute(server.db)
    await server.close()
  }
}

async function measure(database: OpenDatabase): Promise<PageCosts> {
  const handle = database.forUser('many')
  const oldest = await handle
    .selectFrom('tasks')
    .select(['created_at as createdAt', 'id'])
    .orderBy('created_at')
    .orderBy('id')
    .offset(20)
    .limit(1)
    .executeTakeFirstOrThrow()
  const statements = (input: Parameters<Caller['tasks']['list']>[0]) =>
    statementsOf(database, 'many', caller => caller.tasks.list(input))
  const run = (sent: CompiledQuery[]) => async () => {
    for (const statement of sent) await handle.executeQuery(statement)
  }
  const first = run(await statements({}))
  const deepest = run(await statements({ cursor: encodeCursor(oldest) }))
  const search = run(await statements({ search: 'a text that no task has' }))
  const times = { first: Number.POSITIVE_INFINITY, deepest: Number.POSITIVE_INFINITY }
  // In turn, so that noise falls on both alike; the best round counts.
  for (let round = 0; round < rounds; round++) {
    times.first = Math.min(times.first, await timeOf(first, calls))
    times.deepest = Math.min(times.deepest, await timeOf(deepest, calls))
  }
  let best = Number.POSITIVE_INFINITY
  for (let n = 0; n < searches; n++) best = Math.min(best, await timeOf(search, 1))
  return { first: times.first * 1000, deepest: times.deepest * 1000, search: (best / many) * 100_000 }
}

/** Milliseconds that a call takes. */
async function timeOf(run: () => Promise<void>, count: number): Promise<number> {
  const start = performance.now()
  for (let n = 0; n < count; n++) await run()
  return (performance.now() - start) / count
}
