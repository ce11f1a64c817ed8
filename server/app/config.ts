import { z } from 'zod'
import { defaultRole, rolePattern } from '../../db/application-role.js'
import { minFenceSecret } from '../../db/fence/secret.js'
import { isLoopback, isSafeUrl } from '../verifier/keys/safe-url.js'

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
  /** Who migrates, where it is another login than the one that serves. */
  migrationDatabaseUrl: string | undefined
  databaseRole: string
  preparedStatements: boolean
  /** The level that is required; undefined for what stands. */
  databaseFence: 'plain' | 'signed' | undefined
  fenceSecret: string | undefined
  databasePoolMax: number
  databaseConnectTimeout: number
  statementTimeout: number
  issuer: IssuerConfig
  /** Whether keys may come over plain http from another machine. */
  jwksAllowHttp: boolean
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
const webUrl = z
  .url({ protocol: /^https?$/, error: 'a URL that starts with http:// or https://' })
  .refine(url => !url.includes('@'), 'a URL without a user and password')
const isOrigin = (value: string) =>
  URL.canParse(value) && new URL(value).origin === value && !value.includes('*')

function isDecodable(url: string): boolean {
  try {
    return decodeURIComponent(url) !== ''
  } catch {
    return false
  }
}

/** pg takes one without a host too, where the query names a socket. */
const isPostgresUrl = (url: string) =>
  /^postgres(ql)?:\/\//.test(url) && URL.canParse(url.replace('@/', '@localhost/'))

const postgresUrl = text
  .refine(isPostgresUrl, {
    error: 'a URL such as postgres://user:password@host:5432/database',
    abort: true,
  })
  .refine(isDecodable, 'a URL in which a % of the password is written %25')

const hostPattern = /^[\w.:-]+$/

const variables = z.object({
  PORT: wholeNumber(0, 65_535).default(4000),
  HOST: text.regex(hostPattern, 'a host name or an IP address to listen on').default('127.0.0.1'),
  NODE_ENV: text.optional(),
  DATABASE_URL: postgresUrl.optional(),
  DATA_DIR: text.default('.data'),
  DATABASE_ROLE: text
    .regex(rolePattern, 'a lower-case PostgreSQL name such as app_user')
    .default(defaultRole),
  MIGRATION_DATABASE_URL: postgresUrl.optional(),
  DATABASE_PREPARED_STATEMENTS: z.enum(['true', 'false'], 'true or false').default('true'),
  DATABASE_FENCE: z.enum(['plain', 'signed'], 'plain or signed').optional(),
  FENCE_SECRET: text.min(minFenceSecret, `a secret of ${minFenceSecret} characters or more`).optional(),
  DATABASE_POOL_MAX: wholeNumber(1, 1000).default(10),
  DATABASE_CONNECT_TIMEOUT: wholeNumber(1, 300).default(5),
  STATEMENT_TIMEOUT: wholeNumber(1, 3600).default(15),
  BETTER_AUTH_URL: webUrl.optional(),
  JWKS_URL: webUrl.optional(),
  JWKS_ALLOW_HTTP: z.enum(['true', 'false'], 'true or false').optional(),
  JWT_ISSUER: text.optional(),
  JWT_AUDIENCE: text.optional(),
  CORS_ORIGINS: text
    .transform(list => list.split(',').map(origin => origin.trim()))
    .refine(
      list => list.every(isOrigin),
      'origins with commas between, each without path or trailing slash and none *, such as https://app.example.com',
    )
    .default([]),
  LOG_LEVEL: z.enum(levels, `one of ${levels.join(', ')}`).default('info'),
})

type Variables = z.output<typeof variables>

const secrets: ReadonlySet<string> = new Set(['DATABASE_URL', 'MIGRATION_DATABASE_URL', 'FENCE_SECRET'])

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
  const problems = [...wrong(parsed.error, set), ...missing(set), ...unsafe(set), ...exposed(set)]
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems)
  const { data } = parsed
  return {
    port: data.PORT,
    host: data.HOST,
    production: data.NODE_ENV === 'production',
    databaseUrl: data.DATABASE_URL,
    dataDir: data.DATA_DIR,
    migrationDatabaseUrl: data.MIGRATION_DATABASE_URL,
    databaseRole: data.DATABASE_ROLE,
    preparedStatements: data.DATABASE_PREPARED_STATEMENTS === 'true',
    databaseFence: data.DATABASE_FENCE,
    fenceSecret: data.FENCE_SECRET,
    databasePoolMax: data.DATABASE_POOL_MAX,
    databaseConnectTimeout: data.DATABASE_CONNECT_TIMEOUT,
    statementTimeout: data.STATEMENT_TIMEOUT,
    issuer: issuerOf(data),
    jwksAllowHttp: mayUseHttp(set),
    corsOrigins: data.CORS_ORIGINS,
    logLevel: data.LOG_LEVEL,
  }
}

function wrong(error: z.ZodError | undefined, set: Record<string, string | undefined>): string[] {
  return (error?.issues ?? []).map(({ path: [key], message }) => {
    const name = String(key)
    const value = JSON.stringify(set[name]?.replace(/^.*@/s, '***@'))
    return `${name}: found ${secrets.has(name) ? 'a value that is not shown' : value}, expected ${message}`
  })
}

/** What is not set and must be, by what else is set. */
function missing(set: Record<string, string | undefined>): string[] {
  const problems: string[] = []
  const need = (name: string, expected: string) => {
    if (set[name] === undefined && !problems.some(problem => problem.startsWith(`${name}:`)))
      problems.push(`${name}: not set, expected ${expected}`)
  }
  const { BETTER_AUTH_URL, JWKS_URL, JWT_ISSUER, JWT_AUDIENCE, NODE_ENV } = set
  const isProduction = NODE_ENV === 'production'
  if (isProduction) need('DATABASE_URL', 'the URL of a PostgreSQL, in production')
  if (set.DATABASE_FENCE === 'signed') {
    need('DATABASE_URL', 'the URL of a PostgreSQL, as DATABASE_FENCE is signed')
    need(
      'FENCE_SECRET',
      'the secret that signs the identity, the same for migration and server, as DATABASE_FENCE is signed',
    )
  }
  if (set.MIGRATION_DATABASE_URL !== undefined)
    need('DATABASE_URL', 'the URL of the login that serves, as MIGRATION_DATABASE_URL is set')
  if (BETTER_AUTH_URL === undefined && JWKS_URL !== undefined) {
    need('JWT_ISSUER', 'the "iss" of the tokens that JWKS_URL has the keys of')
    need('JWT_AUDIENCE', 'the "aud" of the tokens that are for this API')
  } else if (JWT_ISSUER !== undefined || JWT_AUDIENCE !== undefined) {
    need('BETTER_AUTH_URL', 'the URL of the issuer (or JWKS_URL), as JWT_ISSUER or JWT_AUDIENCE is set')
  } else if (isProduction) {
    need('BETTER_AUTH_URL', 'the URL of your Better Auth server (or JWKS_URL), in production')
  }
  return problems
}

/** Not in production, unless somebody says so: whoever is between could pass keys of their own off as the issuer's. */
const mayUseHttp = ({ JWKS_ALLOW_HTTP, NODE_ENV }: Record<string, string | undefined>) =>
  JWKS_ALLOW_HTTP === undefined ? NODE_ENV !== 'production' : JWKS_ALLOW_HTTP === 'true'

/** Where keys come from that anybody between may replace. */
function unsafe(set: Record<string, string | undefined>): string[] {
  const name = set.JWKS_URL === undefined ? 'BETTER_AUTH_URL' : 'JWKS_URL'
  const url = set[name]
  if (url === undefined || !URL.canParse(url) || isSafeUrl(new URL(url)) || mayUseHttp(set)) return []
  return [`${name}: found plain http to another machine, expected https://, or JWKS_ALLOW_HTTP=true`]
}

/** A host as a URL has it: IPv6 in brackets (RFC 3986 section 3.2.2). */
export const hostInUrl = (host: string) => (host.includes(':') ? `[${host}]` : host)

const issuerVariables = ['BETTER_AUTH_URL', 'JWKS_URL', 'JWT_ISSUER', 'JWT_AUDIENCE']

/** The issuer in this process is for trying things out: on a network anybody could sign up there. */
function exposed(set: Record<string, string | undefined>): string[] {
  const { HOST, NODE_ENV } = set
  const isElsewhere = NODE_ENV === 'production' || issuerVariables.some(name => set[name] !== undefined)
  if (isElsewhere || HOST === undefined || !hostPattern.test(HOST)) return []
  return exposedHost(HOST)
}

function exposedHost(host: string): string[] {
  const url = `http://${hostInUrl(host)}`
  if (URL.canParse(url) && isLoopback(new URL(url))) return []
  return [
    `HOST: found "${host}", expected a loopback address (127.0.0.1, ::1 or localhost) for the issuer in this process, or BETTER_AUTH_URL (or JWKS_URL) set to your issuer`,
  ]
}

/**
 * The same rule for a configuration that was not read from the environment.
 *
 * @throws ConfigError when the issuer in this process would be on a network
 */
export function assertNotExposed({ issuer, host }: Pick<Config, 'issuer' | 'host'>): void {
  const problems = issuer.kind === 'in-process' ? exposedHost(host) : []
  if (problems.length > 0) throw new ConfigError(problems)
}

function issuerOf(data: Variables): IssuerConfig {
  const origin = data.BETTER_AUTH_URL === undefined ? undefined : new URL(data.BETTER_AUTH_URL).origin
  const issuer = data.JWT_ISSUER ?? origin
  const audience = data.JWT_AUDIENCE ?? origin
  const jwksUrl = data.JWKS_URL ?? (origin && `${origin}/api/auth/jwks`)
  if (issuer === undefined || audience === undefined || jwksUrl === undefined) return { kind: 'in-process' }
  return { kind: 'remote', issuer, audience, jwksUrl }
}
