import { randomUUID } from 'node:crypto'
import { pathToFileURL } from 'node:url'
import { sql } from 'kysely'
import { type OpenDatabase, protectTable, setUpFence } from '../db/index.js'
import type { TasksTable } from '../server/routers/tasks-table.js'
import { benchDatabase } from './bench-database.js'

/**
 * Prints how much time statements take, relative to those of another version. DATABASE_URL is a PostgreSQL over TCP whose login may
 * create databases, and BEFORE is a checkout of the other version, with its packages.
 */
const { DATABASE_URL: url, BEFORE: before } = process.env
if (!url || !before)
  throw new Error(
    'DATABASE_URL and BEFORE must be set: a PostgreSQL over TCP, and the path of another checkout.',
  )

const beforeModule = (path: string) => import(pathToFileURL(`${before}/${path}`).href)
const beforeBench: typeof import('./bench-database.js') = await beforeModule('bench/bench-database.ts')
const beforeDb: Pick<typeof import('../db/index.js'), 'setUpFence'> = await beforeModule('db/index.ts')

const [rounds, calls] = [Number(process.env.ROUNDS ?? 200), 20]
type Table = 'tasks' | 'things'

/** The three statements that most procedures send, for a user with a thousand rows. */
async function statementsOf({ admin, forUser }: OpenDatabase, name: Table) {
  const user = randomUUID()
  const id = randomUUID()
  const table = sql.table(name)
  await sql`
    insert into ${table} (user_id, id, title)
    select ${user}, case when n = 1 then ${id}::uuid else gen_random_uuid() end, 'row ' || n from generate_series(1, 1000) n`.execute(
    admin,
  )
  await sql`vacuum analyze ${table}`.execute(admin)
  const handle = forUser(user)
  const own = handle.withTables<Record<Table, TasksTable>>()
  // Compiled once, because the query builder costs the same in both versions.
  const list = own
    .selectFrom(name)
    .selectAll()
    .where('user_id', '=', user)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(21)
    .compile()
  const create = own
    .insertInto(name)
    .values({ user_id: user, id: sql`gen_random_uuid()`, title: 'new' })
    .returningAll()
    .compile()
  const update = own
    .updateTable(name)
    .where('user_id', '=', user)
    .where('id', '=', id)
    .set(column => ({ title: 'changed', version: column('version', '+', 1) }))
    .returningAll()
    .compile()
  return {
    list: () => own.executeQuery(list),
    create: () => own.executeQuery(create),
    update: () => own.executeQuery(update),
  }
}

const microseconds = async (run: () => Promise<unknown>) => {
  const start = performance.now()
  for (let n = 0; n < calls; n++) await run()
  return ((performance.now() - start) * 1000) / calls
}

const at = (sorted: number[], share: number) => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN
const sorted = (values: number[]) => values.toSorted((a, b) => a - b)

for (const level of ['plain', 'signed'] as const) {
  await using old = await beforeBench.benchDatabase(url)
  await using oldAgain = await beforeBench.benchDatabase(url)
  await using now = await benchDatabase(url)
  await sql`create table things (like tasks including indexes including defaults)`.execute(now.admin)
  await sql`alter table things alter user_id drop default, alter user_id type uuid using user_id::uuid`.execute(
    now.admin,
  )
  await protectTable(now.admin, 'things')
  if (level === 'signed') {
    for (const { admin, secret } of [old, oldAgain])
      await beforeDb.setUpFence(admin, { role: 'app_user', secret })
    await setUpFence(now.admin, { role: 'app_user', secret: now.secret })
  }
  const versions = {
    before: await statementsOf(old, 'tasks'),
    // The same in another database shows how much of a ratio is noise.
    'before, again': await statementsOf(oldAgain, 'tasks'),
    'now, text': await statementsOf(now, 'tasks'),
    'now, uuid': await statementsOf(now, 'things'),
  }
  const names = Object.keys(versions) as (keyof typeof versions)[]
  const rows: Record<string, Record<string, string | number>> = {}
  for (const statement of ['list', 'create', 'update'] as const) {
    const times = new Map<string, number[]>(names.map(name => [name, []]))
    for (let round = -5; round < rounds; round++) {
      // In any order, because a connection is faster soon after its last statement.
      const order = names.toSorted(() => Math.random() - 0.5)
      for (const name of order) {
        const time = await microseconds(versions[name][statement])
        if (round >= 0) times.get(name)?.push(time)
      }
    }
    const base = times.get('before') ?? []
    for (const name of names) {
      const own = times.get(name) ?? []
      const ratios = sorted(own.map((time, round) => time / (base[round] ?? Number.NaN)))
      rows[`${statement}, ${name}`] = {
        'us, median': Math.round(at(sorted(own), 0.5)),
        'us, best': Math.round(at(sorted(own), 0)),
        'ratio, median': at(ratios, 0.5).toFixed(3),
        'ratio, quartiles': `${at(ratios, 0.25).toFixed(2)} to ${at(ratios, 0.75).toFixed(2)}`,
        'ratio of the best': (at(sorted(own), 0) / at(sorted(base), 0)).toFixed(3),
      }
    }
  }
  console.log(level)
  console.table(rows)
}
