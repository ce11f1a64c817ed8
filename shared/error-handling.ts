/**
 * Calls a hook of the application. If it throws or rejects, only `report` receives the error: a broken hook must not break
 * the answer.
 */
export function callHook(hook: () => unknown, report: (error: unknown) => void): void {
  new Promise(done => done(hook())).catch(report)
}

/** An error and its causes, outermost first. At most ten, because a chain of causes can be circular. */
export function causesOf(error: unknown): Error[] {
  const causes: Error[] = []
  for (let cause = error; cause instanceof Error && causes.length < 10; cause = cause.cause)
    causes.push(cause)
  return causes
}
