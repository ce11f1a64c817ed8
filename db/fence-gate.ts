import type { FenceReport } from './fence.js'
import type { FenceGap } from './fence-gap.js'
import { DatabaseUnavailableError, isStatementTimeout } from './unavailable.js'

/** The database does not keep users apart: nothing is asked of it for one. */
export class FenceError extends DatabaseUnavailableError {
  override name = 'FenceError'

  constructor(readonly gaps: readonly FenceGap[]) {
    super({ cause: new Error(gaps.map(gap => `${gap.object}: ${gap.problem}. ${gap.mend}`).join('\n')) })
    this.message =
      'The database does not keep users apart: npm run fence, or the fence() of openDatabase, says where.'
  }
}

/** Lets scoped statements pass once the fence is proved to stand. */
export interface FenceGate {
  /**
   * Resolves at once when the last proof held, and renews it behind the statement once a minute; proves first where there is none,
   * or the last one failed seconds ago.
   */
  pass(): Promise<void>
  /** Proves again, for `/readyz` and for who wants to know: a migration may have opened a gap. */
  prove(): Promise<FenceReport>
}

const retryAfter = 5_000
const renewAfter = 60_000
const passed = Promise.resolve()

/**
 * @param find looks for gaps: `proveFence`
 */
export function createFenceGate(find: () => Promise<FenceReport>, now = Date.now): FenceGate {
  let gaps: readonly FenceGap[] | null = null
  let lookedAt = 0
  let proving: Promise<FenceReport> | null = null

  const prove = () => {
    if (proving !== null) return proving
    lookedAt = now()
    proving = find()
      .then(found => {
        gaps = found.gaps
        return found
      })
      .finally(() => {
        proving = null
      })
    return proving
  }

  const passOrProve = async () => {
    if (gaps === null || now() - lookedAt > retryAfter) {
      await prove().catch(cause => {
        throw isStatementTimeout(cause) ? cause : new DatabaseUnavailableError({ cause })
      })
    }
    if (gaps !== null && gaps.length > 0) throw new FenceError(gaps)
  }

  const pass = () => {
    if (gaps?.length !== 0) return passOrProve()
    // Where it fails the statement says so itself.
    if (now() - lookedAt > renewAfter) prove().catch(() => {})
    return passed
  }

  return { pass, prove }
}
