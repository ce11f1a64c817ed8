/**
 * Calls a hook of the application. If it throws or rejects, only `report` receives the error: a broken hook must not break
 * the answer.
 */
export function callHook(hook: () => unknown, report: (error: unknown) => void): void {
  try {
    const result: unknown = hook()
    // Most hooks return nothing, and a promise for each request costs more than they do.
    if (result !== undefined) Promise.resolve(result).catch(report)
  } catch (error) {
    Promise.reject(error).catch(report)
  }
}

/**
 * An error and its causes, outermost first, and the errors of an `AggregateError` (`Promise.any`). At most ten, because a chain of causes
 * can be circular.
 */
export function causesOf(error: unknown): Error[] {
  const causes: Error[] = []
  const rest = [error]
  while (rest.length > 0 && causes.length < 10) {
    const cause = rest.shift()
    if (!(cause instanceof Error)) continue
    causes.push(cause)
    rest.push(cause.cause, ...(cause instanceof AggregateError ? cause.errors : []))
  }
  return causes
}
