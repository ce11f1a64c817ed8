import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kysely } from 'kysely'
import { loadOptional } from '../../db/errors.js'

/** Options of {@link startIssuer}. */
export interface IssuerOptions {
  /** The unscoped handle of the embedded database. */
  // biome-ignore lint/suspicious/noExplicitAny: Better Auth has its own tables
  db: Kysely<any>
  /** Folder of the secret, a file of mode 600. */
  dataDir: string
  /** URL of the issuer: its tokens have it as `iss` and `aud`. */
  origin: string
  trustedOrigins: string[]
}

/**
 * Starts a Better Auth (email and password, jwt and bearer plugins) in this process, with its tables in the schema `auth`.
 * It is for trying things out: `better-auth` is an optional peer of the package.
 *
 * @returns the Fetch handler of `/api/auth`
 * @throws MissingPackageError if better-auth is not installed
 */
export async function startIssuer({ db, dataDir, origin, trustedOrigins }: IssuerOptions) {
  const [{ betterAuth }, { bearer, jwt, signJWT }, { getMigrations }, api] = await loadOptional(
    Promise.all([
      import('better-auth'),
      import('better-auth/plugins'),
      import('better-auth/db/migration'),
      import('better-auth/api'),
    ]),
    'The package better-auth is missing or too old. Run npm install better-auth@latest, or set BETTER_AUTH_URL or JWKS_URL.',
  )
  const expiredToken = api.createAuthEndpoint(
    '/expired-token',
    { method: 'GET', use: [api.sessionMiddleware] },
    async ctx => {
      const now = Math.floor(Date.now() / 1_000)
      const claims = { sub: ctx.context.session.user.id, iss: origin, aud: origin }
      const payload = { ...claims, iat: now - 75 * 60, exp: now - 60 * 60 }
      return ctx.json({ token: await signJWT(ctx, { options: {}, payload }) })
    },
  )
  const auth = betterAuth({
    baseURL: origin,
    basePath: '/api/auth',
    secret: await readOrCreateSecret(join(dataDir, 'auth-secret')),
    database: { db, type: 'postgres', schemaName: 'auth' },
    emailAndPassword: { enabled: true },
    // The page at `/` shows what happens to a token that has expired.
    plugins: [jwt(), bearer(), { id: 'expired-token', endpoints: { expiredToken } }],
    trustedOrigins,
    // Cookies do not know ports: with the usual names, another Better Auth on localhost would end the session.
    advanced: { cookiePrefix: 'trpc-bearer' },
    telemetry: { enabled: false },
    // Its messages quote what users send.
    logger: { disabled: true },
  })
  const { runMigrations } = await getMigrations(auth.options)
  await runMigrations()
  // The first key. Two requests at once would each make one, and one of them might fail.
  await auth.api.getJwks()
  return (request: Request): Promise<Response> => auth.handler(request)
}

/** Renamed into place, so that a crash leaves no partial secret: the private keys in the database are encrypted with it. */
async function readOrCreateSecret(file: string): Promise<string> {
  if (!existsSync(file)) {
    await writeFile(`${file}.new`, randomBytes(32).toString('base64url'), { mode: 0o600 })
    await rename(`${file}.new`, file)
  }
  return readFile(file, 'utf8')
}
