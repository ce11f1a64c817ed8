/**
 * Calls a hook of the application at once. What it throws, or rejects with if it is async, goes to `report` and nowhere else: it must
 * not ruin what the hook is only told of.
 */
export function callHook(hook: () => unknown, report: (error: unknown) => void): void {
  new Promise(done => done(hook())).catch(report)
}
