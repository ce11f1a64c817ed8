import { setTimeout as sleep } from 'node:timers/promises'
import { databaseProblem } from '../../db/database-problem.js'
import { FenceError } from '../../db/fence/gate.js'
import type { FenceLevel } from '../../db/fence/level.js'
import { hasTasks } from '../../db/migrations/0002_tasks.js'
import { pendingMigrations } from '../../db/migrations/migrator.js'
import type { OpenDatabase } from '../../db/open-database.js'
import type { Verifier } from '../verifier/create-verifier.js'

/** The answer of `/readyz`: 200 if both parts are `ok`, else 503. A part that is not `ok` says what to do. */
export interface Readiness {
  ready: boolean
  database: string
  keys: string
  /** The level of isolation; undefined if the database is not `ok`. */
  fence?: FenceLevel
}

/** Receives the error itself, which may contain logins and hosts of the database; the public answer does not. */
type OnProblem = (problem: string, error: unknown) => void

const timeoutMs = 5_000

/** Options of {@link createReadiness}. */
export interface ReadinessOptions {
  database: OpenDatabase
  verifier: Verifier
  /** Where the keys are fetched. It is shown, without its query. */
  jwksUrl: string
  onProblem: OnProblem
}

/**
 * Returns a function that checks that calls can be answered: the database is reachable, migrated and isolated, and there are keys to verify
 * tokens. However often it is called, one check runs at a time.
 */
export function createReadiness({ database, verifier, jwksUrl, onProblem }: ReadinessOptions) {
  let isMigrated = false
  const checkDatabase = async (): Promise<DatabaseState> => {
    if (!isMigrated) {
      const problem = await findMigrationProblem(database)
      if (problem !== undefined) return { state: problem }
      isMigrated = true
    }
    return checkFence(database, onProblem)
  }
  const check = async (): Promise<Readiness> => {
    const [{ state, fence }, keys] = await Promise.all([
      readDatabaseState(checkDatabase, onProblem),
      readKeysState(verifier, jwksUrl, onProblem),
    ])
    return { ready: state === 'ok' && keys === 'ok', database: state, keys, ...(fence && { fence }) }
  }
  let running: Promise<Readiness> | undefined
  return (): Promise<Readiness> => {
    running ??= check().finally(() => {
      running = undefined
    })
    return running
  }
}

interface DatabaseState {
  state: string
  fence?: FenceLevel
}

async function readDatabaseState(
  check: () => Promise<DatabaseState>,
  onProblem: OnProblem,
): Promise<DatabaseState> {
  const timeout = sleep(
    timeoutMs,
    { state: 'The database does not answer: check DATABASE_URL.' },
    { ref: false },
  )
  return Promise.race([check(), timeout]).catch(error => {
    const state = databaseProblem(error) ?? 'The database fails: the log says why.'
    onProblem(state, error)
    return { state }
  })
}

async function findMigrationProblem({ admin }: OpenDatabase): Promise<string | undefined> {
  const pending = await pendingMigrations(admin, { tasks: true })
  if (pending.length === 0) return undefined
  if (pending.every(name => name.endsWith('_tasks')) && (await hasTasks(admin)))
    return 'The database has another table tasks, and npx trpc-bearer start serves the example. Use your own server: docs/embed.md.'
  return `The schema is not up to date (${pending.join(', ')}): run npx trpc-bearer migrate.`
}

async function checkFence({ gate }: OpenDatabase, onProblem: OnProblem): Promise<DatabaseState> {
  const { gaps, level } = await gate()
  if (gaps.length === 0) return { state: 'ok', fence: level }
  onProblem('The database does not keep users apart.', new FenceError(gaps))
  const count = gaps.length === 1 ? '1 gap' : `${gaps.length} gaps`
  return { state: `The database does not keep users apart (${count}): run npx trpc-bearer fence.` }
}

async function readKeysState(verifier: Verifier, jwksUrl: string, onProblem: OnProblem): Promise<string> {
  try {
    await verifier.ready()
    return 'ok'
  } catch (error) {
    if (verifier.status().lastError === 'no_keys')
      return 'The issuer has no keys yet: sign in once to create them.'
    const { origin, pathname } = new URL(jwksUrl)
    const problem = `The keys of the issuer cannot be fetched from ${origin}${pathname}: check BETTER_AUTH_URL or JWKS_URL, and that the issuer runs.`
    onProblem(problem, error)
    return problem
  }
}
