import { z } from 'zod'
import { defaultRole, rolePattern } from '../../db/application-role.js'
import { databaseUrlProblem } from '../../db/database-url.js'
import { minFenceSecret } from '../../db/fence/secret.js'
import { isLoopback, isSafeUrl } from '../verifier/keys/safe-url.js'

/** The environment is wrong. The message has one line for each variable: its name, what is wrong and what to use. */
export class ConfigError extends Error {
  override name = 'ConfigError'

  constructor(readonly problems: readonly string[]) {
    super(problems.join('\n'))
  }
}

/** Who issues the tokens: a remote issuer, or a Better Auth in this process for trying things out. */
export type IssuerConfig =
  | { kind: 'remote'; issuer: string; audience: string | string[]; jwksUrl: string }
  | { kind: 'in-process' }

/** The checked configuration of the server. Times are in seconds. */
export interface Config {
  port: number
  host: string
  production: boolean
  databaseUrl: string | undefined
  dataDir: string
  /** URL of the login that migrates, if it is not the login of `databaseUrl`. */
  migrationDatabaseUrl: string | undefined
  databaseRole: string
  preparedStatements: boolean
  /** The required level of isolation; undefined accepts the current level. */
  databaseFence: 'plain' | 'signed' | undefined
  fenceSecret: string | undefined
  databasePoolMax: number
  databaseConnectTimeout: number
  statementTimeout: number
  /** Seconds that an idle connection of a client stays open. */
  keepAliveTimeout: number
  issuer: IssuerConfig
  /** By how much the clocks of the issuer and the API may differ. */
  clockTolerance: number
  /** Whether keys may be fetched over plain http from another machine. */
  jwksAllowHttp: boolean
  corsOrigins: string[]
  logLevel: string
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

const wholeNumber = (min: number, max: number) => {
  const error = `is not valid. Use a whole number from ${min} to ${max}.`
  return z
    .string()
    .regex(/^\d{1,9}$/, error)
    .transform(Number)
    .pipe(z.int().min(min, error).max(max, error))
}
const text = z.string()
const webUrl = z
  .url({ protocol: /^https?$/, error: 'is not an http URL. Use one such as https://auth.example.com.' })
  .refine(url => !url.includes('@'), 'contains a user or password. Remove them from the URL.')

/** An origin as browsers send it: of a web page, or with the scheme of an application such as `capacitor://localhost`. */
function isOrigin(value: string): boolean {
  if (!URL.canParse(value) || value.includes('*')) return false
  const { origin, protocol } = new URL(value)
  return /^(https?|ftp|wss?):$/.test(protocol)
    ? origin === value
    : /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#]+$/.test(value)
}

const postgresUrl = text.superRefine((url, issues) => {
  const message = databaseUrlProblem(url)
  if (message !== undefined) issues.addIssue({ code: 'custom', message })
})

const hostPattern = /^[\w.:-]+$/

const variables = z.object({
  PORT: wholeNumber(0, 65_535).default(4000),
  HOST: text
    .regex(hostPattern, 'is not a host name or IP address. Use 127.0.0.1 or another address of this machine.')
    .default('127.0.0.1'),
  NODE_ENV: text.optional(),
  DATABASE_URL: postgresUrl.optional(),
  DATA_DIR: text.default('.data'),
  DATABASE_ROLE: text
    .regex(rolePattern, 'is not a lower-case PostgreSQL name. Use a name such as app_user.')
    .default(defaultRole),
  MIGRATION_DATABASE_URL: postgresUrl.optional(),
  DATABASE_PREPARED_STATEMENTS: z.enum(['true', 'false'], 'is not valid. Use true or false.').default('true'),
  DATABASE_FENCE: z.enum(['plain', 'signed'], 'is not valid. Use plain or signed.').optional(),
  FENCE_SECRET: text
    .min(minFenceSecret, `is too short. Use a random secret of at least ${minFenceSecret} characters.`)
    .optional(),
  DATABASE_POOL_MAX: wholeNumber(1, 1000).default(10),
  DATABASE_CONNECT_TIMEOUT: wholeNumber(1, 300).default(5),
  STATEMENT_TIMEOUT: wholeNumber(1, 3600).default(15),
  KEEP_ALIVE_TIMEOUT: wholeNumber(1, 3600).default(65),
  BETTER_AUTH_URL: webUrl.optional(),
  JWKS_URL: webUrl.optional(),
  JWKS_ALLOW_HTTP: z.enum(['true', 'false'], 'is not valid. Use true or false.').optional(),
  JWT_ISSUER: text.optional(),
  JWT_AUDIENCE: text
    .transform(list => list.split(',').map(audience => audience.trim()))
    .refine(list => !list.includes(''), 'is not a list. Use one or more audiences separated by commas.')
    .transform(list => (list.length === 1 ? String(list[0]) : list))
    .optional(),
  JWT_CLOCK_TOLERANCE: wholeNumber(0, 300).default(5),
  CORS_ORIGINS: text
    .transform(list => list.split(',').map(origin => origin.trim()))
    .refine(
      list => list.every(isOrigin),
      'is not a list of origins. Use origins separated by commas, without path, trailing slash or *, such as https://app.example.com or capacitor://localhost.',
    )
    .default([]),
  LOG_LEVEL: z.enum(logLevels, `is not a level. Use one of ${logLevels.join(', ')}.`).default('info'),
})

type Variables = z.output<typeof variables>

/**
 * Reads the configuration from the environment. An empty variable counts as not set.
 *
 * @throws ConfigError with one line for each wrong variable; secrets are not shown
 */
export function readConfig(env: Record<string, string | undefined> = process.env): Config {
  const set = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== '' && value !== undefined),
  )
  const parsed = variables.safeParse(set)
  const problems = [
    ...wrongValues(parsed.error, set),
    ...missingVariables(set),
    ...unsafeUrls(set),
    ...exposedIssuer(set),
  ]
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
    keepAliveTimeout: data.KEEP_ALIVE_TIMEOUT,
    issuer: issuerOf(data),
    clockTolerance: data.JWT_CLOCK_TOLERANCE,
    jwksAllowHttp: allowsHttp(set),
    corsOrigins: data.CORS_ORIGINS,
    logLevel: data.LOG_LEVEL,
  }
}

function wrongValues(error: z.ZodError | undefined, set: Record<string, string | undefined>): string[] {
  const messages = new Map<string, string>()
  // The first problem of each variable: zod 4.0 also reports what follows from it.
  for (const { path, message } of error?.issues ?? [])
    if (!messages.has(String(path[0]))) messages.set(String(path[0]), message)
  return [...messages].map(([name, message]) => `${name}: ${shown(name, set[name] ?? '')} ${message}`)
}

/** A value without its secrets. A database URL is shown only if it is a bare host name. */
function shown(name: string, value: string): string {
  const isHidden = name === 'FENCE_SECRET' || (name.endsWith('DATABASE_URL') && !/^[a-z.-]+$/i.test(value))
  const isUrl = name.endsWith('_URL')
  const plain = value.replace(/^.*@/s, '***@').replace(isUrl ? /[?#].*$/s : '', '')
  return isHidden ? 'the value (not shown)' : JSON.stringify(plain)
}

/** Variables that others in the environment require. */
function missingVariables(set: Record<string, string | undefined>): string[] {
  const problems: string[] = []
  const requireVariable = (name: string, advice: string) => {
    if (set[name] === undefined && !problems.some(problem => problem.startsWith(`${name}:`)))
      problems.push(`${name}: not set. ${advice}`)
  }
  const { BETTER_AUTH_URL, JWKS_URL, JWT_ISSUER, JWT_AUDIENCE, NODE_ENV } = set
  const isProduction = NODE_ENV === 'production'
  if (isProduction) requireVariable('DATABASE_URL', 'Production needs the URL of a PostgreSQL.')
  if (set.DATABASE_FENCE === 'signed') {
    requireVariable('DATABASE_URL', 'DATABASE_FENCE=signed needs the URL of a PostgreSQL.')
    requireVariable('FENCE_SECRET', 'DATABASE_FENCE=signed needs the secret that the migration was given.')
  }
  if (set.MIGRATION_DATABASE_URL !== undefined)
    requireVariable(
      'DATABASE_URL',
      'MIGRATION_DATABASE_URL needs it too: the URL of the login that serves requests.',
    )
  if (BETTER_AUTH_URL === undefined && JWKS_URL !== undefined) {
    requireVariable('JWT_ISSUER', 'JWKS_URL needs it: the "iss" claim of the tokens.')
    requireVariable('JWT_AUDIENCE', 'JWKS_URL needs it: the "aud" claim of the tokens for this API.')
  } else if (JWT_ISSUER !== undefined || JWT_AUDIENCE !== undefined) {
    requireVariable(
      'BETTER_AUTH_URL',
      'JWT_ISSUER and JWT_AUDIENCE need the URL of the issuer (or JWKS_URL).',
    )
  } else if (isProduction) {
    requireVariable('BETTER_AUTH_URL', 'Production needs the URL of your Better Auth server (or JWKS_URL).')
  }
  return problems
}

/** Not in production by default: an attacker in the network could replace the keys. */
const allowsHttp = ({ JWKS_ALLOW_HTTP, NODE_ENV }: Record<string, string | undefined>) =>
  JWKS_ALLOW_HTTP === undefined ? NODE_ENV !== 'production' : JWKS_ALLOW_HTTP === 'true'

function unsafeUrls(set: Record<string, string | undefined>): string[] {
  const name = set.JWKS_URL === undefined ? 'BETTER_AUTH_URL' : 'JWKS_URL'
  const url = set[name]
  if (url === undefined || !URL.canParse(url) || isSafeUrl(new URL(url)) || allowsHttp(set)) return []
  return [
    `${name}: ${shown(name, url)} is plain http to another machine. Use https://, or set JWKS_ALLOW_HTTP=true.`,
  ]
}

/** A host for a URL: IPv6 in brackets (RFC 3986 section 3.2.2). */
export const hostInUrl = (host: string) => (host.includes(':') ? `[${host}]` : host)

const issuerVariables = ['BETTER_AUTH_URL', 'JWKS_URL', 'JWT_ISSUER', 'JWT_AUDIENCE']

/** The in-process issuer listens on a loopback address only: on a network anybody could sign up. */
function exposedIssuer(set: Record<string, string | undefined>): string[] {
  const { HOST, NODE_ENV } = set
  const hasRemoteIssuer = NODE_ENV === 'production' || issuerVariables.some(name => set[name] !== undefined)
  if (hasRemoteIssuer || HOST === undefined || !hostPattern.test(HOST)) return []
  return exposedHost(HOST)
}

function exposedHost(host: string): string[] {
  const url = `http://${hostInUrl(host)}`
  if (URL.canParse(url) && isLoopback(new URL(url))) return []
  return [
    `HOST: "${host}" is not a loopback address, and the in-process issuer must not be on a network. Use 127.0.0.1, or set BETTER_AUTH_URL (or JWKS_URL) to your issuer.`,
  ]
}

/**
 * The same check for a configuration that was not read from the environment.
 *
 * @throws ConfigError if the in-process issuer would listen on a network
 */
export function assertNotExposed({ issuer, host }: Pick<Config, 'issuer' | 'host'>): void {
  const problems = issuer.kind === 'in-process' ? exposedHost(host) : []
  if (problems.length > 0) throw new ConfigError(problems)
}

function issuerOf(data: Variables): IssuerConfig {
  const url = data.BETTER_AUTH_URL === undefined ? undefined : new URL(data.BETTER_AUTH_URL)
  const issuer = data.JWT_ISSUER ?? url?.origin
  const audience = data.JWT_AUDIENCE ?? url?.origin
  // A path is Better Auth's `basePath`, which is /api/auth by default.
  const basePath = url?.pathname.replace(/\/+$/, '') || '/api/auth'
  const jwksUrl = data.JWKS_URL ?? (url && `${url.origin}${basePath}/jwks`)
  if (issuer === undefined || audience === undefined || jwksUrl === undefined) return { kind: 'in-process' }
  return { kind: 'remote', issuer, audience, jwksUrl }
}
