/** Every so-many case of a long table in `npm test`, starting with the first, and all of them in `npm run test:long`. */
export const someOf = <T>(cases: readonly T[], step: number): readonly T[] =>
  process.env.LONG_TESTS ? cases : cases.filter((_, index) => index % step === 0)
