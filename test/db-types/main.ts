import { parseArgs } from 'node:util'
import { migrateTasks, openDatabase } from '../../db/index.js'
import { readConfig } from '../../server/app/config.js'
import { loadEnvFile, runCommand } from '../../server/commands/command.js'
import { temporaryFolder } from '../parts/temporary-folder.js'
import { differencesFrom, typesOf } from './types.js'

/**
 * `npm run db:types`: prints the types of the database at DATABASE_URL, or of a new one with every migration. With `--check`
 * it fails and prints the differences if `TasksTable` has other types.
 */
await runCommand(async () => {
  const { values } = parseArgs({ options: { check: { type: 'boolean' } } })
  loadEnvFile()
  const { databaseUrl, migrationDatabaseUrl } = readConfig()
  const types = await typesAt(migrationDatabaseUrl ?? databaseUrl)
  if (!values.check) {
    console.log(types)
    return
  }
  const differences = await differencesFrom(types)
  if (differences.length === 0) {
    console.log('tasks-table.ts says what the database has.')
    return
  }
  console.error(`tasks-table.ts and the database differ:\n  ${differences.join('\n  ')}`)
  process.exitCode = 1
})

async function typesAt(url: string | undefined): Promise<string> {
  await using folder = await temporaryFolder()
  const { admin: db, close } = await openDatabase({ url, dataDir: folder.path })
  try {
    if (url === undefined) await migrateTasks(db)
    return await typesOf(db)
  } finally {
    await close()
  }
}
