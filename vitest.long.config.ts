import { defineConfig } from 'vitest/config'
import config from './vitest.config.js'

/** `npm run test:long`: needs PgBouncer (Debian's package) and some minutes. */
export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: [
      'test/long/*.test.ts',
      'test/db/scoped/property.test.ts',
      'test/db/scoped/session-cleanup-fuzz.test.ts',
      'test/db/scoped/tracked-connection.test.ts',
    ],
    env: {
      PROPERTY_RUNS: '5000',
      FUZZ_STATEMENTS: process.env.FUZZ_STATEMENTS ?? '30000',
      TURNS: process.env.TURNS ?? '0 1 2 4 7 12',
    },
    exclude: [],
    testTimeout: 600_000,
  },
})
