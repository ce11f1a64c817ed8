import type { FenceReport } from './fence.js'
import type { FenceGap } from './fence-gap.js'
import { DatabaseUnavailableError, isStatementTimeout } from './unavailable.js'

/** The database does not keep users apart: nothing is asked of it for one. */
export class FenceError extends DatabaseUnavailableError {
  override name = 'FenceError'

  constructor(readonly gaps: readonly FenceGap[]) {
    super({ cause: new Error(gaps.map(gap => `${gap.object}: ${gap.problem}. ${gap.mend}`).join('\n')) })
    this.message = 'The database does not keep users apart: npm run fence says where.'
  }
}

/** Lets scoped statements pass once the fence is proved to stand. */
export interface FenceGate {
  /** Resolves at once when the last proof held; proves first where there is none, or the last one failed seconds ago. */
  pass(): Promise<void>
  /** Proves again, for `/readyz` and for who wants to know: a migration may have opened a gap. */
  prove(): Promise<FenceReport>
}

const retryAfter = 5_000
const passed = Promise.resolve()

/**
 * @param find looks for gaps: `proveFence`
 */
export function createFenceGate(find: () => Promise<FenceReport>, now = Date.now): FenceGate {
  let gaps: readonly FenceGap[] | null = null
  let provedAt = 0
  let proving: Promise<FenceReport> | null = null

  const prove = () => {
    proving ??= find()
      .then(found => {
        gaps = found.gaps
        provedAt = now()
        return found
      })
      .finally(() => {
        proving = null
      })
    return proving
  }

  const passOrProve = async () => {
    if (gaps === null || now() - provedAt > retryAfter) {
      await prove().catch(cause => {
        throw isStatementTimeout(cause) ? cause : new DatabaseUnavailableError({ cause })
      })
    }
    if (gaps !== null && gaps.length > 0) throw new FenceError(gaps)
  }

  return { pass: () => (gaps?.length === 0 ? passed : passOrProve()), prove }
}
