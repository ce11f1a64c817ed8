import { z } from 'zod'
import { defaultRole, rolePattern } from '../db/role.js'

/** Something in the environment is wrong. The message has one line for each variable: its name, what was found, what is expected. */
export class ConfigError extends Error {
  override name = 'ConfigError'

  constructor(readonly problems: readonly string[]) {
    super(problems.join('\n'))
  }
}

/** Who issues the tokens: a server elsewhere, or the one that runs in this process for trying things out. */
export type IssuerConfig =
  | { kind: 'remote'; issuer: string; audience: string; jwksUrl: string }
  | { kind: 'in-process' }

/** The server's configuration, checked. Times are seconds. */
export interface Config {
  port: number
  host: string
  production: boolean
  databaseUrl: string | undefined
  dataDir: string
  databaseRole: string
  databasePoolMax: number
  databaseConnectTimeout: number
  statementTimeout: number
  issuer: IssuerConfig
  corsOrigins: string[]
  logLevel: string
}

const levels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

const wholeNumber = (min: number, max: number) => {
  const error = `a whole number from ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,9}$/, error)
    .transform(Number)
    .pipe(z.int().min(min, error).max(max, error))
}
const text = z.string()
const webUrl = z.url({ protocol: /^https?$/, error: 'a URL that starts with http:// or https://' })
const isOrigin = (value: string) => URL.canParse(value) && new URL(value).origin === value

const variables = z.object({
  PORT: wholeNumber(0, 65_535).default(4000),
  HOST: text.regex(/^[\w.:-]+$/, 'a host name or an IP address to listen on').default('127.0.0.1'),
  NODE_ENV: text.optional(),
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/, error: 'a URL such as postgres://user:password@host:5432/database' })
    .optional(),
  DATA_DIR: text.default('.data'),
  DATABASE_ROLE: text
    .regex(rolePattern, 'a lower-case PostgreSQL name such as app_user')
    .default(defaultRole),
  DATABASE_POOL_MAX: wholeNumber(1, 1000).default(10),
  DATABASE_CONNECT_TIMEOUT: wholeNumber(1, 300).default(5),
  STATEMENT_TIMEOUT: wholeNumber(1, 3600).default(15),
  BETTER_AUTH_URL: webUrl.optional(),
  JWKS_URL: webUrl.optional(),
  JWT_ISSUER: text.optional(),
  JWT_AUDIENCE: text.optional(),
  CORS_ORIGINS: text
    .transform(list => list.split(',').map(origin => origin.trim()))
    .refine(list => list.every(isOrigin), 'origins with commas between, such as https://app.example.com')
    .default([]),
  LOG_LEVEL: z.enum(levels, `one of ${levels.join(', ')}`).default('info'),
})

type Variables = z.output<typeof variables>

const secrets: ReadonlySet<string> = new Set(['DATABASE_URL'])

/**
 * Reads the configuration from the environment. An empty variable counts as unset.
 *
 * @throws ConfigError that names every wrong variable, what was found (never a secret) and what is expected
 */
export function readConfig(env: Record<string, string | undefined> = process.env): Config {
  const set = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== '' && value !== undefined),
  )
  const parsed = variables.safeParse(set)
  if (!parsed.success) {
    throw new ConfigError(
      parsed.error.issues.map(({ path: [name], message }) => {
        const found = secrets.has(String(name))
          ? 'a value that is not shown'
          : JSON.stringify(set[String(name)])
        return `${String(name)}: found ${found}, expected ${message}`
      }),
    )
  }
  const { data } = parsed
  const issuer = readIssuer(data)
  const production = data.NODE_ENV === 'production'
  const problems = [...issuer.problems, ...(production ? missingInProduction(data) : [])]
  if (problems.length > 0) throw new ConfigError(problems)
  return {
    port: data.PORT,
    host: data.HOST,
    production,
    databaseUrl: data.DATABASE_URL,
    dataDir: data.DATA_DIR,
    databaseRole: data.DATABASE_ROLE,
    databasePoolMax: data.DATABASE_POOL_MAX,
    databaseConnectTimeout: data.DATABASE_CONNECT_TIMEOUT,
    statementTimeout: data.STATEMENT_TIMEOUT,
    issuer: issuer.config,
    corsOrigins: data.CORS_ORIGINS,
    logLevel: data.LOG_LEVEL,
  }
}

const unset = (name: string, expected: string) => `${name}: not set, expected ${expected}`

function readIssuer(data: Variables): { config: IssuerConfig; problems: string[] } {
  const { BETTER_AUTH_URL: url, JWKS_URL: jwksUrl, JWT_ISSUER: issuer, JWT_AUDIENCE: audience } = data
  if (url !== undefined) {
    const { origin } = new URL(url)
    const defaults = { issuer: origin, audience: origin, jwksUrl: `${origin}/api/auth/jwks` }
    const config = {
      kind: 'remote',
      issuer: issuer ?? defaults.issuer,
      audience: audience ?? defaults.audience,
      jwksUrl: jwksUrl ?? defaults.jwksUrl,
    } as const
    return { config, problems: [] }
  }
  if (jwksUrl !== undefined && issuer !== undefined && audience !== undefined) {
    return { config: { kind: 'remote', issuer, audience, jwksUrl }, problems: [] }
  }
  const problems: string[] = []
  if (jwksUrl !== undefined) {
    if (issuer === undefined)
      problems.push(unset('JWT_ISSUER', 'the "iss" of the tokens that JWKS_URL has the keys of'))
    if (audience === undefined)
      problems.push(unset('JWT_AUDIENCE', 'the "aud" of the tokens that are for this API'))
  } else if (issuer !== undefined || audience !== undefined) {
    problems.push(
      unset('BETTER_AUTH_URL', 'the URL of the issuer (or JWKS_URL), as JWT_ISSUER or JWT_AUDIENCE is set'),
    )
  }
  return { config: { kind: 'in-process' }, problems }
}

/** The embedded database and the in-process issuer are development equipment. */
function missingInProduction({ DATABASE_URL, BETTER_AUTH_URL, JWKS_URL }: Variables): string[] {
  const problems: string[] = []
  if (DATABASE_URL === undefined)
    problems.push(unset('DATABASE_URL', 'the URL of a PostgreSQL, in production'))
  if (BETTER_AUTH_URL === undefined && JWKS_URL === undefined) {
    problems.push(unset('BETTER_AUTH_URL', 'the URL of your Better Auth server (or JWKS_URL), in production'))
  }
  return problems
}
