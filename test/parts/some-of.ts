/**
 * Every so-many case of a long table in `npm test`, starting with the first, and all of them in `npm run test:long`, unless CASES is `some`,
 * as in CI.
 */
export const someOf = <T>(cases: readonly T[], step: number): readonly T[] =>
  process.env.LONG_TESTS && process.env.CASES !== 'some'
    ? cases
    : cases.filter((_, index) => index % step === 0)
