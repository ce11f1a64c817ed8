import { type Kysely, sql, type Transaction } from 'kysely'

/** Runs in a transaction of the unscoped handle in which no statement takes longer than so many milliseconds. */
export function within<T, Tables>(
  db: Kysely<Tables>,
  milliseconds: number,
  run: (trx: Transaction<Tables>) => Promise<T>,
): Promise<T> {
  return db.transaction().execute(async trx => {
    await sql`select set_config('statement_timeout', ${String(milliseconds)}, true)`.execute(trx)
    return run(trx)
  })
}
