import { defineConfig } from 'kysely-ctl'
import { openDatabase } from './db/index.js'
import { createMigrator } from './db/migrations/kysely-migrator.js'
import { readConfig } from './server/app/config.js'
import { loadEnvFile, runCommand } from './server/commands/command.js'
import { explainMigrationError } from './server/commands/explain-error.js'

loadEnvFile()
const config = readConfig()
const { databaseUrl, migrationDatabaseUrl, dataDir, databaseRole: role } = config
const url = migrationDatabaseUrl ?? databaseUrl

/** Lets the `kysely` command use the server's database and migrations, for example `npx kysely migrate list`. */
export default defineConfig({
  kysely: async () => {
    const { admin } = await openDatabase({ url, dataDir, role, join: true })
    await runCommand(async () => {
      // Every kysely command asks this first. Asking here explains a missing right in one line.
      await createMigrator(admin, role)
        .getMigrations()
        .catch(async error => {
          throw await explainMigrationError(error, admin, config)
        })
    })
    return admin
  },
  migrations: { migrator: db => createMigrator(db, role) },
})
