import { createServer } from 'node:http'
import { type BetterAuthOptions, betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { toNodeHandler } from 'better-auth/node'
import { jwt } from 'better-auth/plugins'
import pg from 'pg'
import { z } from 'zod'

/** A Better Auth server on PostgreSQL. Prints its URL when it is ready. */
const { ISSUER_DATABASE_URL, ISSUER_ALGORITHM, ISSUER_PORT, ISSUER_TOKEN_LIFE } = z
  .object({
    ISSUER_DATABASE_URL: z.url(),
    ISSUER_ALGORITHM: z.enum(['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256']),
    ISSUER_PORT: z.coerce.number().default(0),
    ISSUER_TOKEN_LIFE: z.string().default('15m'),
  })
  .parse(process.env)

const server = createServer()
await new Promise<void>(done => server.listen(ISSUER_PORT, '127.0.0.1', done))
const address = server.address()
if (typeof address !== 'object' || address === null) throw new Error('The issuer has no port.')
const baseURL = `http://127.0.0.1:${address.port}`

const options = {
  baseURL,
  secret: 'a secret of the tests, and of nobody else',
  database: new pg.Pool({ connectionString: ISSUER_DATABASE_URL }),
  emailAndPassword: { enabled: true },
  plugins: [
    jwt({
      jwks: { keyPairConfig: { alg: ISSUER_ALGORITHM } },
      jwt: { expirationTime: ISSUER_TOKEN_LIFE },
    }),
  ],
  telemetry: { enabled: false },
} satisfies BetterAuthOptions
const { runMigrations } = await getMigrations(options)
await runMigrations()
server.on('request', toNodeHandler(betterAuth(options)))
console.log(`issuer at ${baseURL}`)

// The process that started it has ended.
process.stdin.resume().on('end', () => process.exit())
