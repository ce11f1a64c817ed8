import { type FenceGap, openDatabase, pendingMigrations } from '../../db/index.js'
import { readConfig } from '../app/config.js'
import { announceEmbedded } from './command.js'
import { explainServingError } from './explain-error.js'

const describe = ({ object, problem, fix }: FenceGap) => `${object}: ${problem}\n  ${fix}`

/** `trpc-bearer fence`: checks that users are kept apart, and prints the SQL for each gap and for the level `signed`. */
export async function fence(): Promise<void> {
  const config = readConfig()
  announceEmbedded(config)
  const { databaseUrl: url, dataDir, databaseRole: role, fenceSecret, databaseFence: requiredFence } = config
  const database = await openDatabase({ url, dataDir, role, fenceSecret, requiredFence, join: true })
  try {
    const pending = await pendingMigrations(database.admin)
    if (pending.length > 0) {
      console.error(`The schema is not up to date (${pending.join(', ')}). Run npx trpc-bearer migrate.`)
      process.exitCode = 1
      return
    }
    const { gaps, notes, level, obstacles = [], warning } = await database.fence()
    for (const gap of gaps) console.error(describe(gap))
    if (warning !== undefined) console.warn(warning)
    if (gaps.length > 0) {
      process.exitCode = 1
      return
    }
    console.log(`No gaps: as ${role}, each user reaches only their own rows (level ${level}).`)
    for (const note of notes) console.log(`Note: ${describe(note)}`)
    // The embedded database cannot be signed: its one login may do everything.
    if (url !== undefined) for (const obstacle of obstacles) console.log(describe(obstacle))
  } catch (error) {
    throw await explainServingError(error, database.admin, role)
  } finally {
    await database.close()
  }
}
