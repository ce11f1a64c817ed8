/**
 * Says that the application's own code has thrown, and what kind of error. Never its text: that may hold a claim, and this ends up
 * in logs.
 */
export function thrownBy(option: string, error: unknown): Error {
  return new Error(`The ${option} option has thrown (${kindOf(error)}).`)
}

function kindOf(error: unknown): string {
  try {
    const kind: unknown = error instanceof Error ? error.constructor.name : typeof error
    return typeof kind === 'string' ? kind : 'unknown'
  } catch {
    return 'unknown'
  }
}

/** Calls the application's own code at once; what it throws is a rejection, as what an async function of its throws. */
export const attempt = (call: () => unknown) => new Promise(done => done(call()))
