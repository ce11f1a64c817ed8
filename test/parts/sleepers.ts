import { sql } from 'kysely'
import { expect } from 'vitest'
import type { OpenDatabase } from '../../db/index.js'
import { waitFor } from './wait-for.js'

type Handle = ReturnType<OpenDatabase['forUser']>

const running = sql<{ count: number }>`
  select count(*)::int from pg_stat_activity where datname = current_database() and state = 'active' and query ~ 'pg_sleep\\(|^fetch'
    and pid <> pg_backend_pid()`

/** A statement that runs for so many seconds. */
export const sleep = (handle: Handle, seconds = 60) =>
  handle.selectNoFrom(sql`pg_sleep(${seconds})`.as('slept'))

/** How many such statements run in the database now. */
export const sleepersIn = async ({ admin }: Pick<OpenDatabase, 'admin'>) =>
  (await running.execute(admin)).rows[0]?.count

/** Aborts as soon as one of them runs. */
export async function abortOnceRunning(database: Pick<OpenDatabase, 'admin'>, gone: AbortController) {
  await waitFor(async () => expect(await sleepersIn(database)).toBe(1), { timeout: 5_000 })
  gone.abort(new Error('gone'))
}
