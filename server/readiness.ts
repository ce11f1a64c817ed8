import { setTimeout as sleep } from 'node:timers/promises'
import { FenceError } from '../db/fence-gate.js'
import { pendingMigrations } from '../db/migrate.js'
import type { OpenDatabase } from '../db/open.js'
import { databaseProblem } from './database-problem.js'
import type { Verifier } from './verifier.js'

/** What `/readyz` answers: 200 when both parts are `ok`, else 503, with what is missing and what to do. */
export interface Readiness {
  ready: boolean
  database: string
  keys: string
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
  const [databaseState, keysState] = await Promise.all([
    databaseStateOf(database, onProblem),
    keysStateOf(verifier, onProblem),
  ])
  return {
    ready: databaseState === 'ok' && keysState === 'ok',
    database: databaseState,
    keys: keysState,
  }
}

async function databaseStateOf({ db, fence }: OpenDatabase, onProblem: OnProblem): Promise<string> {
  const look = async () => {
    const pending = await pendingMigrations(db)
    if (pending.length > 0)
      return `The schema is not up to date (${pending.join(', ')}): run npm run migrate.`
    const gaps = await fence()
    if (gaps.length === 0) return 'ok'
    onProblem('The database does not keep users apart.', new FenceError(gaps))
    return `The database does not keep users apart (${gaps.length} gaps): run npm run fence.`
  }
  const late = sleep(patience, 'The database does not answer: check DATABASE_URL.', { ref: false })
  return Promise.race([look(), late]).catch(error => {
    const problem = databaseProblem(error) ?? 'The database cannot be used: the log says why.'
    onProblem(problem, error)
    return problem
  })
}

async function keysStateOf(verifier: Verifier, onProblem: OnProblem): Promise<string> {
  try {
    await verifier.ready()
    return verifier.status().keys > 0 ? 'ok' : 'The issuer has no keys yet: sign somebody in.'
  } catch (error) {
    const problem =
      'The keys of the issuer cannot be fetched: check BETTER_AUTH_URL or JWKS_URL, and that the issuer runs.'
    onProblem(problem, error)
    return problem
  }
}
