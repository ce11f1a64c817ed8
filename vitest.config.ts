import { defineConfig } from 'vitest/config'

const entry = (name: string, folder = name) => ({
  find: `trpc-bearer/${name}`,
  replacement: new URL(`./${folder}/index.ts`, import.meta.url).pathname,
})

export default defineConfig({
  // The examples import the package by its name: here that is the source.
  resolve: {
    alias: [
      ...['server', 'client', 'shared', 'db'].map(name => entry(name)),
      entry('verifier', 'server/verifier'),
      entry('react', 'client/react'),
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [
      'test/**/*.long.test.ts',
      'test/browser/**',
      'test/db/scoped/tracked-connection.test.ts',
      ...(process.env.OLDEST_TESTS ? [] : ['test/**/*.oldest.test.ts']),
    ],
    globalSetup: 'test/parts/setup.ts',
    testTimeout: 20_000,
    hookTimeout: 30_000,
    expect: { poll: { timeout: 10_000 } },
    pool: 'forks',
    // Each worker imports the modules once: a test takes back what it has stubbed.
    isolate: false,
    // A worker waits for PostgreSQL half of its time, so three keep two cores busy.
    maxWorkers: 3,
    coverage: {
      provider: 'v8',
      include: ['server/**/*.ts', 'db/**/*.ts', 'shared/**/*.ts', 'client/**/*.ts'],
      reporter: ['text', 'json-summary'],
    },
  },
})
