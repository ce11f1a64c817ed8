import { loadEnvFile as loadNodeEnvFile } from 'node:process'
import type { OpenDatabase } from '../../db/open-database.js'
import type { Config } from '../app/config.js'
import { databaseProblem } from '../app/database-problem.js'
import { adviceToMigrate, denialOf } from './denied.js'

/** What the person who runs a command is told, instead of a stack. */
export class CommandError extends Error {
  override name = 'CommandError'
}

/** Errors that a person fixes by what the message says: no stack. */
const expected = new Set([
  'CommandError',
  'ConfigError',
  'DataDirError',
  'DataDirInUseError',
  'LoginError',
  'MissingPackageError',
  'PortError',
])

/** Runs a command of the package. An error ends the process with 1, in one line where it is the user's to fix. */
export async function runCommand(command: () => Promise<void>): Promise<void> {
  try {
    await command()
  } catch (error) {
    const isExpected = error instanceof Error && expected.has(error.name)
    console.error(isExpected ? error.message : (databaseProblem(error) ?? error))
    process.exit(1)
  }
}

/** Reads `.env` in the working folder where there is one. What the environment has already stays. */
export function loadEnvFile(): void {
  try {
    loadNodeEnvFile()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}

/** Says that a command works on the embedded database, which whoever has forgotten DATABASE_URL would not expect. */
export function sayWhere({ databaseUrl, migrationDatabaseUrl, dataDir }: Config): void {
  if (databaseUrl === undefined && migrationDatabaseUrl === undefined)
    console.log(`On the embedded database in ${dataDir}, as DATABASE_URL is not set.`)
}

/** What a person is told where the login that migrates cannot: what it lacks, or what is wrong with its database. */
export async function explainMigration(
  error: unknown,
  db: OpenDatabase['admin'],
  { databaseRole: role, migrationDatabaseUrl, fenceSecret }: Config,
  login?: string,
): Promise<unknown> {
  const denial = denialOf(error)
  const isSigned = fenceSecret !== undefined
  if (denial !== undefined)
    return new CommandError(await adviceToMigrate(db, { role, login, denial, isSigned }))
  const url = migrationDatabaseUrl === undefined ? 'DATABASE_URL' : 'MIGRATION_DATABASE_URL'
  const problem = databaseProblem(error, url)
  return problem === undefined ? error : new CommandError(problem, { cause: error })
}
