import { defineConfig } from 'kysely-ctl'
import { createMigrator, openDatabase } from './db/index.js'
import { loadEnvFile } from './server/command.js'
import { readConfig } from './server/config.js'

loadEnvFile()
const { databaseUrl, migrationDatabaseUrl, dataDir, databaseRole: role } = readConfig()
const url = migrationDatabaseUrl ?? databaseUrl

/** For the `kysely` command: the same database and migrations as the server's. `npx kysely migrate list` */
export default defineConfig({
  kysely: async () => (await openDatabase({ url, dataDir, role, join: true })).db,
  migrations: { migrator: db => createMigrator(db, role) },
})
