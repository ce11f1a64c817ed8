import { migrateToLatest, openDatabase } from '../db/index.js'
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
    if (error instanceof Error && 'code' in error && error.code === '42501') {
      console.error(
        `This login may not do that (${error.message}). An administrator runs, with the login's name:\n` +
          `  create role ${role} nologin; grant ${role} to <login>; grant create on database <database> to <login>;\n` +
          `  grant create on schema public to <login>;`,
      )
      process.exitCode = 1
    } else throw error
  } finally {
    await database.close()
  }
})
