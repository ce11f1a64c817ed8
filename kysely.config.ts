import { defineConfig } from 'kysely-ctl'
import { createMigrator, openDatabase } from './db/index.js'
import { readConfig } from './server/app/config.js'
import { explainMigration, loadEnvFile, runCommand } from './server/commands/command.js'

loadEnvFile()
const config = readConfig()
const { databaseUrl, migrationDatabaseUrl, dataDir, databaseRole: role } = config
const url = migrationDatabaseUrl ?? databaseUrl

/** For the `kysely` command: the same database and migrations as the server's. `npx kysely migrate list` */
export default defineConfig({
  kysely: async () => {
    const { admin } = await openDatabase({ url, dataDir, role, join: true })
    await runCommand(async () => {
      // What every command asks first, so that a login that may not is told so, without a stack.
      await createMigrator(admin, role)
        .getMigrations()
        .catch(async error => {
          throw await explainMigration(error, admin, config)
        })
    })
    return admin
  },
  migrations: { migrator: db => createMigrator(db, role) },
})
