/**
 * Says that the application's own code has thrown, and what kind of error. Never its text: that may hold a claim, and this ends up
 * in logs.
 */
export function thrownBy(option: string, error: unknown): Error {
  const kind = error instanceof Error ? error.constructor.name : typeof error
  return new Error(`The ${option} option has thrown (${kind}).`)
}

/** Calls the application's own code at once; what it throws is a rejection, as what an async function of its throws. */
export const attempt = (call: () => unknown) => new Promise(done => done(call()))
