import { callHook } from '../../shared/error-handling.js'
import { withTimeout } from '../../shared/timeout.js'
import { DatabaseUnavailableError, isStatementTimeout } from '../errors.js'
import type { FenceCheck, FenceReport } from './audit.js'
import { type FenceGap, isSameGap, theLevel } from './gap.js'

/** The database does not keep users apart, so scoped statements are refused. `cause` lists every gap and its fix. */
export class FenceError extends DatabaseUnavailableError {
  override name = 'FenceError'

  constructor(readonly gaps: readonly FenceGap[]) {
    super({ cause: new Error(gaps.map(gap => `${gap.object}: ${gap.problem}. ${gap.fix}`).join('\n')) })
    this.message =
      'The database does not keep users apart. Run npx trpc-bearer fence, or call database.fence(), to list the gaps.'
  }
}

/** Refuses scoped statements unless a recent check found no gap. */
export interface FenceGate {
  /**
   * Resolves at once if the last check found no gap. After one minute the check is repeated in the background. After three minutes
   * calls wait for it. After a gap the next call repeats it, at most every five seconds.
   *
   * @throws FenceError if the check finds a gap
   * @throws DatabaseUnavailableError if the check fails
   */
  check(): Promise<void>
  /** The last report, if it is at most ten seconds old. Otherwise it checks now, or joins the check in progress. */
  report(): Promise<FenceReport>
  /** Runs the complete audit now, or joins the one in progress. Its gaps count as those of a check. */
  audit(): Promise<FenceReport>
}

/** Options of {@link createFenceGate}. */
export interface FenceGateOptions {
  /** `checkFence` with its options. */
  runCheck: () => Promise<FenceCheck>
  /** `auditFence` with its options. */
  runAudit: () => Promise<FenceCheck>
  /** Milliseconds since the epoch. @default Date.now */
  now?: () => number
  /** Milliseconds after which a check counts as failed, because its connection has fallen silent. @default 60_000 */
  timeout?: number
  /** Called for each check in the background that fails. */
  onProblem?: (problem: string, error: unknown) => void
}

const isOf = (object: string) => (gap: FenceGap) => gap.object === object

const lockedGap = (object: string): FenceGap => ({
  object,
  problem: 'another session has locked it, so it cannot be checked',
  fix: '-- check again when the lock is gone',
})

const retryAfter = 5_000
const renewAfter = 60_000
const reportAge = 10_000
const closeAfter = 3 * 60_000
const resolved = Promise.resolve()

/** Makes a gate that is closed until its first check. */
export function createFenceGate({
  runCheck,
  runAudit,
  now = Date.now,
  timeout = 60_000,
  onProblem = () => {},
}: FenceGateOptions): FenceGate {
  let last: FenceReport | null = null
  let lastRun = runCheck
  /** Number of the run that made the last report. */
  let lastNumber = 0
  let runs = 0
  let lastAttemptAt = 0
  let lastSuccessAt = 0
  const running = new Map<() => Promise<FenceCheck>, Promise<FenceReport>>()
  /** A table is locked: the next check comes sooner. */
  let isPartial = false
  /** The gaps that each table, by its oid, had when it was last checked. */
  let known = new Map<string, FenceGap[]>()

  /** A locked table keeps the gaps that it had. One that was never checked has one. */
  const withLocked = ({ checked: _, locked = [], ...report }: FenceCheck): FenceReport => {
    if (locked.length === 0) return report
    // The level depends on the policies of every table.
    const level = last?.level === 'plain' ? 'plain' : report.level
    const kept = locked.flatMap(({ oid, name }) => known.get(oid) ?? [lockedGap(name)])
    const gaps = [...report.gaps, ...kept, ...(last?.gaps.filter(isOf(theLevel)) ?? [])]
    return { ...report, level, gaps: gaps.filter((gap, index) => gaps.findIndex(isSameGap(gap)) === index) }
  }

  /** If an audit has found gaps, only an audit opens the gate again, because a check sees less. */
  const next = () => (last !== null && last.gaps.length > 0 && lastRun === runAudit ? runAudit : runCheck)

  const start = (run: () => Promise<FenceCheck>) => {
    const present = running.get(run)
    if (present !== undefined) return present
    const startedAt = now()
    const number = ++runs
    lastAttemptAt = startedAt
    const started = withTimeout(run(), timeout, 'The check of the isolation got no answer in time.')
      .then(result => {
        const report = withLocked(result)
        // An older one that took longer knows less, but a check does not see every gap that an audit sees.
        const seesMore = run === runAudit && lastRun === runCheck && report.gaps.length > 0
        if ((number < lastNumber && !seesMore) || (run === runCheck && run !== next())) return report
        last = report
        isPartial = (result.locked?.length ?? 0) > 0
        const { checked = [], locked = [] } = result
        known = new Map([
          ...[...known].filter(([oid]) => locked.some(table => table.oid === oid)),
          ...checked.map(({ oid, name }) => [oid, report.gaps.filter(isOf(name))] as const),
        ])
        lastRun = run
        lastNumber = number
        lastSuccessAt = startedAt
        return report
      })
      .finally(() => running.delete(run))
    running.set(run, started)
    return started
  }

  /** A clock that was set back must not keep an old result valid. */
  const isOlderThan = (age: number, time: number) => now() - time > age || now() < time

  const checkNow = async () => {
    if (last === null || isOlderThan(closeAfter, lastSuccessAt) || isOlderThan(retryAfter, lastAttemptAt)) {
      await start(next()).catch(cause => {
        throw isStatementTimeout(cause) ? cause : new DatabaseUnavailableError({ cause })
      })
    }
    if (last !== null && last.gaps.length > 0) throw new FenceError(last.gaps)
  }

  const checkInBackground = () =>
    start(runCheck).catch(error => {
      const problem =
        'The fence could not be checked. After three minutes without a check, protected calls answer 503.'
      callHook(
        () => onProblem(problem, error),
        () => console.warn(problem),
      )
    })

  const check = () => {
    if (last?.gaps.length !== 0 || isOlderThan(closeAfter, lastSuccessAt)) return checkNow()
    if (isOlderThan(isPartial ? retryAfter : renewAfter, lastAttemptAt)) checkInBackground()
    return resolved
  }

  const report = async () => (last === null || isOlderThan(reportAge, lastSuccessAt) ? start(next()) : last)

  return { check, report, audit: () => start(runAudit) }
}
