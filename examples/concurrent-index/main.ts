import { sql } from 'kysely'
import { openDatabase } from 'trpc-bearer/db'

const databaseUrl = process.env.MIGRATION_DATABASE_URL || process.env.DATABASE_URL || ''
if (!URL.canParse(databaseUrl)) {
  console.error('Set MIGRATION_DATABASE_URL: postgres://owner:password@host:5432/database')
  process.exit(1)
}
// PgBouncer refuses these options, and should: the lock and the limits below belong to one session.
// The index waits for open transactions up to lock_timeout. The wait blocks only other changes of the schema.
const url = new URL(databaseUrl)
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
    if (!rows[0]?.alone) throw new Error('Another process is creating this index.')
    // A failed attempt leaves an invalid index, and `if not exists` would accept it.
    if (rows[0].broken) await sql`drop index concurrently tasks_by_due`.execute(db)
    await sql`create index concurrently if not exists tasks_by_due on tasks (user_id, due_at, id)`.execute(db)
  })
} finally {
  await database.close()
}
