import { callHook } from '../../shared/error-handling.js'
import { DatabaseUnavailableError, isStatementTimeout } from '../errors.js'
import type { FenceReport } from './audit.js'
import type { FenceGap } from './gap.js'

/** The database does not keep users apart: nothing is asked of it for one. */
export class FenceError extends DatabaseUnavailableError {
  override name = 'FenceError'

  constructor(readonly gaps: readonly FenceGap[]) {
    super({ cause: new Error(gaps.map(gap => `${gap.object}: ${gap.problem}. ${gap.fix}`).join('\n')) })
    this.message =
      'The database does not keep users apart: npm run fence, or the fence() of openDatabase, says where.'
  }
}

/** Lets scoped statements pass once the fence is proved to stand. */
export interface FenceGate {
  /**
   * Resolves at once if the last proof held, and renews it behind the statement once a minute. Proves first if there is no good
   * proof of the last three minutes, or if the last one found a gap more than five seconds ago.
   */
  pass(): Promise<void>
  /** Proves again, for `/readyz` and for who wants to know: a migration may have opened a gap. */
  prove(): Promise<FenceReport>
}

/** Options of {@link createFenceGate}. */
export interface FenceGateOptions {
  /** Milliseconds since the epoch. @default Date.now */
  now?: () => number
  /** Hears of each proof that failed behind a statement. */
  onProblem?: (problem: string, error: unknown) => void
}

const retryAfter = 5_000
const renewAfter = 60_000
const closeAfter = 3 * 60_000
const passed = Promise.resolve()

/**
 * @param find looks for gaps: `proveFence`
 */
export function createFenceGate(
  find: () => Promise<FenceReport>,
  { now = Date.now, onProblem = () => {} }: FenceGateOptions = {},
): FenceGate {
  let gaps: readonly FenceGap[] | null = null
  let lookedAt = 0
  let provedAt = 0
  let proving: Promise<FenceReport> | null = null

  const prove = () => {
    if (proving !== null) return proving
    const startedAt = now()
    lookedAt = startedAt
    proving = find()
      .then(found => {
        gaps = found.gaps
        provedAt = startedAt
        return found
      })
      .finally(() => {
        proving = null
      })
    return proving
  }

  /** A clock that was set back must not keep an old proof alive. */
  const isPast = (time: number, age: number) => now() - time > age || now() < time

  const passOrProve = async () => {
    if (gaps === null || isPast(provedAt, closeAfter) || isPast(lookedAt, retryAfter)) {
      await prove().catch(cause => {
        throw isStatementTimeout(cause) ? cause : new DatabaseUnavailableError({ cause })
      })
    }
    if (gaps !== null && gaps.length > 0) throw new FenceError(gaps)
  }

  const renew = () =>
    prove().catch(error => {
      const problem =
        'The fence could not be proved again. After three minutes without a proof protected calls answer 503.'
      callHook(
        () => onProblem(problem, error),
        () => console.warn(problem),
      )
    })

  const pass = () => {
    if (gaps?.length !== 0 || isPast(provedAt, closeAfter)) return passOrProve()
    if (isPast(lookedAt, renewAfter)) renew()
    return passed
  }

  return { pass, prove }
}
