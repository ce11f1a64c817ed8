import { loadEnvFile as loadNodeEnvFile } from 'node:process'
import { databaseProblem } from '../../db/database-problem.js'
import type { Config } from '../app/config.js'

/** An error that the user of a command can fix. It is printed without a stack. */
export class CommandError extends Error {
  override name = 'CommandError'
}

/** Names of the errors that are printed without a stack. */
const expectedErrors = new Set([
  'CommandError',
  'ConfigError',
  'DataDirError',
  'DataDirInUseError',
  'LoginError',
  'MissingPackageError',
  'PortError',
])

/**
 * Runs a command with the variables of `.env`. If it fails, prints the error, in one line if the user can fix it, and exits with
 * code 1.
 */
export async function runCommand(command: () => Promise<void>): Promise<void> {
  try {
    loadEnvFile()
    await command()
  } catch (error) {
    const isExpected = error instanceof Error && expectedErrors.has(error.name)
    console.error(isExpected ? error.message : (databaseProblem(error) ?? error))
    process.exit(1)
  }
}

/** Loads `.env` from the working folder, if there is one. Variables that are already set win. */
export function loadEnvFile(): void {
  try {
    loadNodeEnvFile()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    throw new CommandError('.env cannot be read: it must be a file of lines such as PORT=4000.')
  }
}

/** Logs that the command uses the embedded database, so that a forgotten DATABASE_URL is noticed. */
export function announceEmbedded({ databaseUrl, migrationDatabaseUrl, dataDir }: Config): void {
  if (databaseUrl === undefined && migrationDatabaseUrl === undefined)
    console.log(`Using the embedded database in ${dataDir}, because DATABASE_URL is not set.`)
}
