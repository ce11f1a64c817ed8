import { sql } from 'kysely'
import { currentKey } from '../db/fence/secret.js'
import { loginOf } from '../db/fence/serving-login.js'
import { migrateToLatest, type OpenDatabase, openDatabase, setUpFence } from '../db/index.js'
import { type Config, ConfigError, readConfig } from './app/config.js'
import { CommandError, explainMigration, loadEnvFile, runCommand, sayWhere } from './commands/command.js'
import { withSql } from './commands/denied.js'

/** `npm run migrate`: the schema, the login that serves, and with `FENCE_SECRET` the level. */
await runCommand(async () => {
  loadEnvFile()
  const config = readConfig()
  sayWhere(config)
  const { databaseUrl, migrationDatabaseUrl, dataDir, databaseRole: role } = config
  const login = await servingLogin(config)
  const database = await openDatabase({ url: migrationDatabaseUrl ?? databaseUrl, dataDir, role, join: true })
  try {
    const left = await migrate(database.admin, config, login)
    if (isOfAnother(databaseUrl, migrationDatabaseUrl))
      console.warn('DATABASE_URL names another database: the one of MIGRATION_DATABASE_URL was migrated.')
    if (left.length > 0) throw new CommandError(withSql('This login may not do the rest.', left))
  } catch (error) {
    throw await explainMigration(error, database.admin, config, login)
  } finally {
    await database.close()
  }
})

/** Two URLs that name two databases; a pooler may have names of its own. */
function isOfAnother(url = '', other = ''): boolean {
  return URL.canParse(url) && URL.canParse(other) && new URL(url).pathname !== new URL(other).pathname
}

/** The login that serves, where a URL of its own says who migrates. */
async function servingLogin({ databaseUrl, migrationDatabaseUrl }: Config): Promise<string | undefined> {
  if (databaseUrl === undefined || migrationDatabaseUrl === undefined) return undefined
  const login = await loginOf(databaseUrl)
  if (login === undefined)
    throw new ConfigError(['DATABASE_URL: names no login, expected postgres://login:password@host/database'])
  return login
}

async function migrate(
  db: OpenDatabase['admin'],
  { databaseRole: role, fenceSecret: secret, migrationDatabaseUrl }: Config,
  login: string | undefined,
): Promise<string[]> {
  const names = await migrateToLatest(db, { role })
  await requireRole(db, role)
  const before = await currentKey(db)
  const left = await setUpFence(db, { role, secret, login })
  const after = await currentKey(db)
  console.log(names.length === 0 ? 'The schema is up to date.' : `Migrated: ${names.join(', ')}.`)
  if (after === null && migrationDatabaseUrl !== undefined)
    console.log('The level is plain: with FENCE_SECRET injected SQL stays with its caller too.')
  if (before === null && after !== null)
    console.log(
      'The identity is signed now: every server needs this FENCE_SECRET. npm run fence tells the level.',
    )
  else if (before !== after)
    console.log('FENCE_SECRET has been changed: the one before stays good until the next change.')
  return left
}

/** The first migration has granted the tables to one role: another name would be a role without them. */
async function requireRole(db: OpenDatabase['admin'], role: string): Promise<void> {
  const { rows } = await sql<{ made: string }>`select trpc_bearer.application_role() as made`.execute(db)
  const made = rows[0]?.made
  if (made !== role)
    throw new CommandError(
      `This database was migrated with DATABASE_ROLE=${made}, and keeps it: it cannot be ${role}.`,
    )
}
