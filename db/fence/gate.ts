import { callHook } from '../../shared/error-handling.js'
import { withTimeout } from '../../shared/timeout.js'
import { DatabaseUnavailableError, isStatementTimeout } from '../errors.js'
import type { FenceReport } from './audit.js'
import type { FenceGap } from './gap.js'

/** The database does not keep users apart, so scoped statements are refused. `cause` lists every gap and its fix. */
export class FenceError extends DatabaseUnavailableError {
  override name = 'FenceError'

  constructor(readonly gaps: readonly FenceGap[]) {
    super({ cause: new Error(gaps.map(gap => `${gap.object}: ${gap.problem}. ${gap.fix}`).join('\n')) })
    this.message =
      'The database does not keep users apart. Run npx trpc-bearer fence, or call database.fence(), to list the gaps.'
  }
}

/** Refuses scoped statements unless a recent audit found no gap. */
export interface FenceGate {
  /**
   * Resolves at once if the last audit found no gap. After one minute the audit is repeated in the background. After three minutes
   * calls wait for it. After a gap the next call repeats it, at most every five seconds.
   *
   * @throws FenceError if the audit finds a gap
   * @throws DatabaseUnavailableError if the audit fails
   */
  check(): Promise<void>
  /** Runs the audit now, or joins the one in progress. */
  audit(): Promise<FenceReport>
}

/** Options of {@link createFenceGate}. */
export interface FenceGateOptions {
  /** Milliseconds since the epoch. @default Date.now */
  now?: () => number
  /** Milliseconds after which an audit counts as failed, because its connection has fallen silent. @default 60_000 */
  timeout?: number
  /** Called for each background audit that fails. */
  onProblem?: (problem: string, error: unknown) => void
}

const retryAfter = 5_000
const renewAfter = 60_000
const closeAfter = 3 * 60_000
const resolved = Promise.resolve()

/**
 * @param runAudit `auditFence` with its options
 */
export function createFenceGate(
  runAudit: () => Promise<FenceReport>,
  { now = Date.now, timeout = 60_000, onProblem = () => {} }: FenceGateOptions = {},
): FenceGate {
  let gaps: readonly FenceGap[] | null = null
  let lastAttemptAt = 0
  let lastSuccessAt = 0
  let running: Promise<FenceReport> | null = null

  const audit = () => {
    if (running !== null) return running
    const startedAt = now()
    lastAttemptAt = startedAt
    running = withTimeout(runAudit(), timeout, 'The check of the isolation got no answer in time.')
      .then(report => {
        gaps = report.gaps
        lastSuccessAt = startedAt
        return report
      })
      .finally(() => {
        running = null
      })
    return running
  }

  /** A clock that was set back must not keep an old result valid. */
  const isOlderThan = (age: number, time: number) => now() - time > age || now() < time

  const auditAndCheck = async () => {
    if (gaps === null || isOlderThan(closeAfter, lastSuccessAt) || isOlderThan(retryAfter, lastAttemptAt)) {
      await audit().catch(cause => {
        throw isStatementTimeout(cause) ? cause : new DatabaseUnavailableError({ cause })
      })
    }
    if (gaps !== null && gaps.length > 0) throw new FenceError(gaps)
  }

  const auditInBackground = () =>
    audit().catch(error => {
      const problem =
        'The fence could not be checked. After three minutes without a check, protected calls answer 503.'
      callHook(
        () => onProblem(problem, error),
        () => console.warn(problem),
      )
    })

  const check = () => {
    if (gaps?.length !== 0 || isOlderThan(closeAfter, lastSuccessAt)) return auditAndCheck()
    if (isOlderThan(renewAfter, lastAttemptAt)) auditInBackground()
    return resolved
  }

  return { check, audit }
}
