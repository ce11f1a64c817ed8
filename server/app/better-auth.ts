import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kysely } from 'kysely'
import { MissingPackageError } from '../../db/embedded/pglite.js'

/** Options of {@link startIssuer}. */
export interface IssuerOptions {
  /** Unscoped handle of the embedded database. */
  // biome-ignore lint/suspicious/noExplicitAny: Better Auth brings tables of its own
  db: Kysely<any>
  /** Folder that keeps the secret, in a file of mode 600. */
  dataDir: string
  /** Where the issuer is reached: what it writes into `iss` and `aud`. */
  origin: string
  trustedOrigins: string[]
}

/**
 * Starts a real Better Auth (email and password, jwt and bearer plugins) in this process, with its tables in the schema
 * `auth`. For trying things out: `better-auth` is not a dependency of the package.
 *
 * @returns the Fetch handler of `/api/auth`
 * @throws MissingPackageError when better-auth is not installed
 */
export async function startIssuer({ db, dataDir, origin, trustedOrigins }: IssuerOptions) {
  const [{ betterAuth }, { bearer, jwt }, { getMigrations }] = await Promise.all([
    import('better-auth'),
    import('better-auth/plugins'),
    import('better-auth/db/migration'),
  ]).catch(cause => {
    const message =
      'The in-process issuer is not installed: set BETTER_AUTH_URL or JWKS_URL, or npm install better-auth'
    throw new MissingPackageError(message, { cause })
  })
  const auth = betterAuth({
    baseURL: origin,
    basePath: '/api/auth',
    secret: await keptSecret(join(dataDir, 'auth-secret')),
    database: { db, type: 'postgres', schemaName: 'auth' },
    emailAndPassword: { enabled: true },
    plugins: [jwt(), bearer()],
    trustedOrigins,
    telemetry: { enabled: false },
    // It quotes what people send.
    logger: { disabled: true },
  })
  const { runMigrations } = await getMigrations(auth.options)
  await runMigrations()
  return (request: Request): Promise<Response> => auth.handler(request)
}

/** Generated once, and whole: the private keys in the database are encrypted with it. The folder is this process's alone. */
async function keptSecret(file: string): Promise<string> {
  if (!existsSync(file)) {
    await writeFile(`${file}.new`, randomBytes(32).toString('base64url'), { mode: 0o600 })
    await rename(`${file}.new`, file)
  }
  return readFile(file, 'utf8')
}
