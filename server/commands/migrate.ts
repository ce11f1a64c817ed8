import { sql } from 'kysely'
import { findLogin } from '../../db/fence/serving-login.js'
import { findKeyFingerprint } from '../../db/fence/sign.js'
import {
  migrateTasks,
  migrateToLatest,
  type OpenDatabase,
  openDatabase,
  setUpFence,
  TasksTableError,
} from '../../db/index.js'
import { type Config, ConfigError, readConfig } from '../app/config.js'
import { announceEmbedded, CommandError } from './command.js'
import { explainMigrationError, withSql } from './explain-error.js'

/** `trpc-bearer migrate`: migrates the schema, sets up the serving login, and with `FENCE_SECRET` the level `signed`. */
export async function migrate(): Promise<void> {
  const config = readConfig()
  announceEmbedded(config)
  const { databaseUrl, migrationDatabaseUrl, dataDir, databaseRole: role } = config
  const login = await findServingLogin(config)
  const database = await openDatabase({ url: migrationDatabaseUrl ?? databaseUrl, dataDir, role, join: true })
  try {
    const missing = await migrateDatabase(database.admin, config, login)
    if (isOtherDatabase(databaseUrl, migrationDatabaseUrl))
      console.warn(
        'DATABASE_URL names another database. Only the one of MIGRATION_DATABASE_URL was migrated.',
      )
    if (missing.length > 0)
      throw new CommandError(withSql('This login may not set up the login of DATABASE_URL.', missing))
  } catch (error) {
    throw await explainMigrationError(error, database.admin, config)
  } finally {
    await database.close()
  }
}

/** Compares only the names: a pooler may have another host and port. */
function isOtherDatabase(url = '', other = ''): boolean {
  return URL.canParse(url) && URL.canParse(other) && new URL(url).pathname !== new URL(other).pathname
}

/** The login of DATABASE_URL, if MIGRATION_DATABASE_URL is set. */
async function findServingLogin({ databaseUrl, migrationDatabaseUrl }: Config): Promise<string | undefined> {
  if (databaseUrl === undefined || migrationDatabaseUrl === undefined) return undefined
  const login = await findLogin(databaseUrl)
  if (login === undefined)
    throw new ConfigError(['DATABASE_URL: names no login, expected postgres://login:password@host/database'])
  return login
}

async function migrateDatabase(
  db: OpenDatabase['admin'],
  { databaseRole: role, fenceSecret: secret, migrationDatabaseUrl }: Config,
  login: string | undefined,
): Promise<string[]> {
  const names = await migrateToLatest(db, { role })
  const tasks = await migrateTasks(db).catch(error => {
    if (!(error instanceof TasksTableError)) throw error
    console.log(error.message)
    return []
  })
  names.push(...tasks)
  await requireRole(db, role)
  const before = await findKeyFingerprint(db)
  const missing = await setUpFence(db, { role, secret, login })
  const after = await findKeyFingerprint(db)
  console.log(names.length === 0 ? 'The schema is up to date.' : `Migrated: ${names.join(', ')}.`)
  if (after === null && migrationDatabaseUrl !== undefined)
    console.log('The level is plain. Set FENCE_SECRET to protect users from injected SQL as well.')
  if (before === null && after !== null)
    console.log(
      'The identity is signed now. Give every server this FENCE_SECRET, then check the level with npx trpc-bearer fence.',
    )
  else if (before !== after)
    console.log('FENCE_SECRET has been changed. The previous secret works until the next change.')
  return missing
}

/** The first migration grants the tables to one role. Any other role could not use them. */
async function requireRole(db: OpenDatabase['admin'], role: string): Promise<void> {
  const { rows } = await sql<{ name: string }>`select trpc_bearer.application_role() as name`.execute(db)
  const name = rows[0]?.name
  if (name !== role)
    throw new CommandError(
      `This database was migrated with DATABASE_ROLE=${name}, not ${role}. The role cannot be changed.`,
    )
}
