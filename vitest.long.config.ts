import { defineConfig } from 'vitest/config'
import config from './vitest.config.js'

/**
 * `npm run test:long`: the `*.long.test.ts` files, and those that try more here than in `npm test`. Needs PgBouncer and Chromium
 * (Debian's packages), and some minutes.
 */
export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: [
      'test/**/*.long.test.ts',
      // Also `npm run test:browser`.
      'test/browser/**/*.test.ts',
      // More runs, statements and turns.
      'test/db/fence/{gate,injections,level,sign,checks/role}.test.ts',
      'test/security/{key-sets,outages,random-tokens}.test.ts',
      'test/server/{app/lifecycle,app/readiness,http/hang-up,trpc/errors,verifier/keys/remote-keys}.test.ts',
      'test/client/{client,user-change-fuzz}.test.ts',
      'test/e2e/start.test.ts',
      'test/db/scoped/{allowed-statements,hostile-poolers,logins,property,session-cleanup-fuzz,session-facts,silent-server,statement-cache,tracked-connection}.test.ts',
      'test/db/{tables/owners,wire/cancel,wire/pipeline,wire/pool}.test.ts',
      'test/shared/transformer.test.ts',
      // Tables of cases on the other kind of database.
      'test/db/fence/{audit,checks/functions,checks/relations}.test.ts',
      'test/db/scoped/{connection,deferred-triggers,dialect,identity,kysely,late-statements}.test.ts',
      'test/db/scoped/{open-streams,session-cleanup,statements,temporary-tables,transaction}.test.ts',
      'test/db/migrations/{kysely-migrator,migrator}.test.ts',
      'test/db/tables/{protect,rules,side-doors}.test.ts',
      'test/examples/examples.test.ts',
      'test/server/routers/{paging,plans,task-cursor,tasks-*,timezone}.test.ts',
    ],
    env: {
      LONG_TESTS: 'yes',
      PROPERTY_RUNS: process.env.PROPERTY_RUNS ?? '5000',
      FUZZ_STATEMENTS: process.env.FUZZ_STATEMENTS ?? '30000',
      OWNER_KINDS: process.env.OWNER_KINDS ?? '.*',
      TURNS: process.env.TURNS ?? '0 1 2 4 7 12',
    },
    exclude: [],
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
})
