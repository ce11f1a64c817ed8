import { defineConfig } from 'vitest/config'
import config from './vitest.config.js'

/** `npm run test:long`: needs PgBouncer (Debian's package) and some minutes. */
export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: ['test/long/*.test.ts', 'test/property.test.ts'],
    env: { PROPERTY_RUNS: '5000' },
    testTimeout: 600_000,
    coverage: { enabled: false },
  },
})
