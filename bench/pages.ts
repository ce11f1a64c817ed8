import type { CompiledQuery } from 'kysely'
import { type OpenDatabase, setUpFence } from '../db/index.js'
import { encodeCursor } from '../server/routers/task-cursor.js'
import { fillTasks } from '../test/parts/many-tasks.js'
import { type Caller, recordStatements } from '../test/parts/recorded-statements.js'
import { benchDatabase } from './bench-database.js'
import { bestOf } from './best-of.js'

const many = 200_000

/** Costs of `tasks.list` with many tasks, in one level. */
export interface PageCosts {
  /** The first page, in microseconds. */
  first: number
  /** The deepest page, in microseconds. */
  deepest: number
  /** A search that reads all tasks of its user, in milliseconds per 100,000 tasks. */
  search: number
}

/**
 * Measures the first page, the deepest page and a search, plain and signed, through the scoped handle on one connection. The
 * table has 1,000,000 tasks of 10,000 users and 200,000 more of one user.
 *
 * @param url of a login that may create databases
 */
export async function measurePages(url: string): Promise<Record<'plain' | 'signed', PageCosts>> {
  await using database = await benchDatabase(url)
  await fillTasks(database.admin, { tasks: 1_000_000, users: 10_000, many, imported: 20_000 })
  const plain = await measure(database)
  await setUpFence(database.admin, { role: 'app_user', secret: database.secret })
  return { plain, signed: await measure(database) }
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
    recordStatements(database, 'many', caller => caller.tasks.list(input))
  const run = (sent: CompiledQuery[]) => async () => {
    for (const statement of sent) await handle.executeQuery(statement)
  }
  const pages = {
    first: run(await statements({})),
    deepest: run(await statements({ cursor: encodeCursor(oldest) })),
  }
  const search = run(await statements({ search: 'a text that no task has' }))
  const nothing = await bestOf({ search }, { rounds: 5, calls: 1 })
  return {
    ...(await bestOf(pages, { rounds: 40, calls: 50 })),
    search: (nothing.search / 1000 / many) * 100_000,
  }
}
