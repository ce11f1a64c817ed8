import { sql } from 'kysely'
import { migrateToLatest, type OpenDatabase, openDatabase, setUpFence } from '../db/index.js'
import { loadEnvFile, runCommand } from './command.js'
import { readConfig } from './config.js'

await runCommand(async () => {
  loadEnvFile()
  const { databaseUrl, migrationDatabaseUrl, dataDir, databaseRole: role, fenceSecret: secret } = readConfig()
  const url = migrationDatabaseUrl ?? databaseUrl
  const database = await openDatabase({ url, dataDir, role, join: true })
  try {
    const names = await migrateToLatest(database.db, { role })
    const left = await setUpFence(database.db, {
      role,
      secret,
      login: otherLogin(migrationDatabaseUrl, databaseUrl),
    })
    if (left.length > 0) {
      console.error(`This login may not do all of it. An administrator runs:\n  ${left.join('\n  ')}`)
      process.exitCode = 1
    }
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

/** The login that serves, where another one migrates. */
function otherLogin(migrationUrl: string | undefined, servingUrl: string | undefined): string | undefined {
  if (migrationUrl === undefined || servingUrl === undefined) return undefined
  const login = decodeURIComponent(new URL(servingUrl).username)
  return login === decodeURIComponent(new URL(migrationUrl).username) ? undefined : login
}

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
