import { setTimeout as sleep } from 'node:timers/promises'
import { FenceError } from '../../db/fence/gate.js'
import type { FenceLevel } from '../../db/fence/level.js'
import { pendingMigrations } from '../../db/migrations/migrator.js'
import type { OpenDatabase } from '../../db/open-database.js'
import type { Verifier } from '../verifier/create-verifier.js'
import { databaseProblem } from './database-problem.js'

/** What `/readyz` answers: 200 when both parts are `ok`, else 503, with what is missing and what to do. */
export interface Readiness {
  ready: boolean
  database: string
  keys: string
  /** The level of the fence, where it stands. */
  fence?: FenceLevel
}

/** Gets what the driver said: it may name hosts and logins, which the answer to anybody does not. */
type OnProblem = (problem: string, error: unknown) => void

const patience = 5_000

/** Looks whether calls can be answered: the database is there and migrated, and there are keys to verify tokens with. */
export async function checkReadiness({
  database,
  verifier,
  onProblem,
}: {
  database: OpenDatabase
  verifier: Verifier
  onProblem: OnProblem
}): Promise<Readiness> {
  const [{ state, fence }, keys] = await Promise.all([
    databaseStateOf(database, onProblem),
    keysStateOf(verifier, onProblem),
  ])
  return { ready: state === 'ok' && keys === 'ok', database: state, keys, ...(fence && { fence }) }
}

interface DatabaseState {
  state: string
  fence?: FenceLevel
}

async function databaseStateOf(database: OpenDatabase, onProblem: OnProblem): Promise<DatabaseState> {
  const late = sleep(patience, { state: 'The database does not answer: check DATABASE_URL.' }, { ref: false })
  return Promise.race([lookAt(database, onProblem), late]).catch(error => {
    const state = databaseProblem(error) ?? 'The database cannot be used: the log says why.'
    onProblem(state, error)
    return { state }
  })
}

async function lookAt({ admin, fence }: OpenDatabase, onProblem: OnProblem): Promise<DatabaseState> {
  const pending = await pendingMigrations(admin)
  if (pending.length > 0) {
    return { state: `The schema is not up to date (${pending.join(', ')}): run npm run migrate.` }
  }
  const { gaps, level } = await fence()
  if (gaps.length === 0) return { state: 'ok', fence: level }
  onProblem('The database does not keep users apart.', new FenceError(gaps))
  const count = gaps.length === 1 ? '1 gap' : `${gaps.length} gaps`
  return { state: `The database does not keep users apart (${count}): run npm run fence.` }
}

async function keysStateOf(verifier: Verifier, onProblem: OnProblem): Promise<string> {
  try {
    await verifier.ready()
    return 'ok'
  } catch (error) {
    if (verifier.status().lastError === 'no_keys') return 'The issuer has no keys yet: sign somebody in.'
    const problem =
      'The keys of the issuer cannot be fetched: check BETTER_AUTH_URL or JWKS_URL, and that the issuer runs.'
    onProblem(problem, error)
    return problem
  }
}
