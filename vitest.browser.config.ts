import { defineConfig } from 'vitest/config'
import config from './vitest.config.js'

/** `npm run test:browser`: the page at `/` in a real browser. Needs Chromium: `apt-get install chromium`, or its path in CHROMIUM. */
export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: ['test/browser/**/*.test.ts'],
    exclude: [],
    globalSetup: ['test/parts/browser.setup.ts', 'test/parts/setup.ts'],
    maxWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
