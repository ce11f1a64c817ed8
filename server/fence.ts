import { type FenceGap, openDatabase, pendingMigrations } from '../db/index.js'
import { readConfig } from './app/config.js'
import { CommandError, loadEnvFile, runCommand, sayWhere } from './commands/command.js'
import { adviceToServe, denialOf } from './commands/denied.js'

const describe = ({ object, problem, fix }: FenceGap) => `${object}: ${problem}\n  ${fix}`

/** `npm run fence`: proves that users are kept apart, and prints the SQL for what is missing, also to the level `signed`. */
await runCommand(async () => {
  loadEnvFile()
  const config = readConfig()
  sayWhere(config)
  const { databaseUrl: url, dataDir, databaseRole: role, fenceSecret, databaseFence: requiredFence } = config
  const database = await openDatabase({ url, dataDir, role, fenceSecret, requiredFence, join: true })
  try {
    const pending = await pendingMigrations(database.admin)
    if (pending.length > 0) {
      console.error(`The schema is not up to date (${pending.join(', ')}): run npm run migrate.`)
      process.exitCode = 1
      return
    }
    const { gaps, level, obstacles = [], warning } = await database.fence()
    for (const gap of gaps) console.error(describe(gap))
    if (warning !== undefined) console.warn(warning)
    if (gaps.length > 0) {
      process.exitCode = 1
      return
    }
    console.log(`The fence stands (${level}): as ${role}, each user reaches their own rows alone.`)
    // The embedded database has one login, which may do everything.
    if (url !== undefined) for (const obstacle of obstacles) console.log(describe(obstacle))
  } catch (error) {
    const denial = denialOf(error)
    if (denial === undefined) throw error
    throw new CommandError(await adviceToServe(database.admin, role, denial), { cause: error })
  } finally {
    await database.close()
  }
})
