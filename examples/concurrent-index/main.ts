import { sql } from 'kysely'
import { openDatabase } from 'trpc-bearer/db'

const given = process.env.MIGRATION_DATABASE_URL || process.env.DATABASE_URL || ''
if (!URL.canParse(given)) {
  console.error('Set MIGRATION_DATABASE_URL: postgres://owner:password@host:5432/database')
  process.exit(1)
}
// Connect directly: the lock and these limits belong to one session, and PgBouncer refuses such options.
// While this waits for open transactions (lock_timeout), it blocks other schema changes, but no reads or writes.
const url = new URL(given)
const options = url.searchParams.get('options') ?? ''
url.searchParams.set('options', `${options} -c statement_timeout=0 -c lock_timeout=10min`)

const database = await openDatabase({ url: url.href })
try {
  await database.admin.connection().execute(async db => {
    const { rows } = await sql<{ alone: boolean; broken: boolean }>`
      select pg_try_advisory_lock(hashtext('tasks_by_due')) as alone,
        exists (select from pg_index where indexrelid = to_regclass('tasks_by_due') and not indisvalid) as broken`.execute(
      db,
    )
    if (!rows[0]?.alone) throw new Error('Another process is making this index.')
    // A failed attempt leaves an invalid index, which `if not exists` would accept.
    if (rows[0].broken) await sql`drop index concurrently tasks_by_due`.execute(db)
    await sql`create index concurrently if not exists tasks_by_due on tasks (user_id, due_at, id)`.execute(db)
  })
} finally {
  await database.close()
}
