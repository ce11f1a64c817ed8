import { sql } from 'kysely'
import { migrateToLatest, type OpenDatabase, openDatabase } from '../db/index.js'
import { loadEnvFile, runCommand } from './command.js'
import { readConfig } from './config.js'

await runCommand(async () => {
  loadEnvFile()
  const { databaseUrl: url, dataDir, databaseRole: role } = readConfig()
  const database = await openDatabase({ url, dataDir, role, join: true })
  try {
    const names = await migrateToLatest(database.db, { role })
    console.log(names.length === 0 ? 'The schema is up to date.' : `Migrated: ${names.join(', ')}.`)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === '42501')) throw error
    console.error(
      `This login may not do that (${error.message}). An administrator runs:\n${await missingRights(database.db, role)}`,
    )
    process.exitCode = 1
  } finally {
    await database.close()
  }
})

async function missingRights(db: OpenDatabase['db'], role: string): Promise<string> {
  const { rows } = await sql<{ grants: string }>`
    select concat_ws(E'\n',
      case when not exists (select from pg_roles where rolname = ${role}) then format('  create role %I nologin;', ${role}::text) end,
      format('  grant %I to %I;', ${role}::text, current_user),
      format('  grant create on database %I to %I;', current_database(), current_user),
      format('  grant create, usage on schema %I to %I;', coalesce(current_schema(), 'public'), current_user)) as grants`.execute(
    db,
  )
  return rows[0]?.grants ?? ''
}
