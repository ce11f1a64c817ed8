import { describe, expect, test } from 'vitest'
import { ConfigError, readConfig } from '../../../server/index.js'

type Env = Record<string, string>
type Issuer = Record<string, string | string[]>

const issuerUrl = 'https://auth.example.com'
const remote = (issuer: Issuer) => ({ kind: 'remote', ...issuer })

describe('the issuer', () => {
  const urls = { issuer: issuerUrl, audience: issuerUrl, jwksUrl: `${issuerUrl}/api/auth/jwks` }

  test.each([issuerUrl, `${issuerUrl}/`, `${issuerUrl}/api/auth`, `${issuerUrl}:443/api/auth/?query#hash`])(
    'of BETTER_AUTH_URL=%s is its origin',
    BETTER_AUTH_URL => {
      expect(readConfig({ BETTER_AUTH_URL }).issuer).toEqual(remote(urls))
    },
  )

  test.each([
    ['/auth', '/auth/jwks'],
    ['/auth/', '/auth/jwks'],
    ['/some/path?query#hash', '/some/path/jwks'],
  ])('with the basePath %s has its keys at %s', (path, keys) => {
    const { issuer } = readConfig({ BETTER_AUTH_URL: `${issuerUrl}${path}` })
    expect(issuer).toEqual(remote({ ...urls, jwksUrl: `${issuerUrl}${keys}` }))
  })

  test('may have several audiences, separated by commas', () => {
    const { issuer } = readConfig({ BETTER_AUTH_URL: issuerUrl, JWT_AUDIENCE: 'web, mobile' })
    expect(issuer).toEqual(remote({ ...urls, audience: ['web', 'mobile'] }))
    expect(() => readConfig({ BETTER_AUTH_URL: issuerUrl, JWT_AUDIENCE: 'web,' })).toThrow(
      'JWT_AUDIENCE: "web," is not a list.',
    )
  })

  test.each([
    ['JWT_ISSUER', 'https://id.example.com/', { issuer: 'https://id.example.com/' }],
    ['JWT_AUDIENCE', 'my-api', { audience: 'my-api' }],
    ['JWKS_URL', 'http://keys:8080/jwks', { jwksUrl: 'http://keys:8080/jwks' }],
  ])('%s wins over BETTER_AUTH_URL and is used unchanged', (name, value, expected) => {
    const env = { BETTER_AUTH_URL: issuerUrl, [name]: value }
    expect(readConfig(env).issuer).toEqual(remote({ ...urls, ...expected }))
  })

  test('needs no Better Auth: JWKS_URL, JWT_ISSUER and JWT_AUDIENCE are enough', () => {
    const env = { JWKS_URL: 'https://keys.example.com/', JWT_ISSUER: 'them', JWT_AUDIENCE: 'us' }
    expect(readConfig(env).issuer).toEqual(
      remote({ issuer: 'them', audience: 'us', jwksUrl: 'https://keys.example.com/' }),
    )
  })

  const jwks = { JWKS_URL: 'https://keys.example.com/' }
  const needsIssuer = 'JWT_ISSUER: not set. JWKS_URL needs it: the "iss" claim of the tokens.'
  const needsAudience =
    'JWT_AUDIENCE: not set. JWKS_URL needs it: the "aud" claim of the tokens for this API.'
  const needsUrl =
    'BETTER_AUTH_URL: not set. JWT_ISSUER and JWT_AUDIENCE need the URL of the issuer (or JWKS_URL).'

  test.each<[Env, string[]]>([
    [jwks, [needsIssuer, needsAudience]],
    [{ ...jwks, JWT_ISSUER: 'them' }, [needsAudience]],
    [{ ...jwks, JWT_AUDIENCE: 'us' }, [needsIssuer]],
    [{ JWT_ISSUER: 'them' }, [needsUrl]],
    [{ JWT_AUDIENCE: 'us' }, [needsUrl]],
  ])('is not guessed from %j', (env, lines) => {
    expect(() => readConfig(env)).toThrow(new ConfigError(lines))
  })
})

describe('the in-process issuer', () => {
  const line = (host: string) =>
    `HOST: "${host}" is not a loopback address, and the in-process issuer must not be on a network. Use 127.0.0.1, or set BETTER_AUTH_URL (or JWKS_URL) to your issuer.`

  test.each([
    '0.0.0.0',
    '::',
    '192.168.1.10',
    '128.0.0.1',
    '1127.0.0.1',
    'api.example.com',
    'localhost.example.com',
    '127.0.0.1.example.com',
    '127.0.0.1.2',
    '0127.0.0.1',
    '::2',
    '::ffff:10.0.0.1',
    '::1:1',
    'a:b',
  ])('is refused on a network: HOST=%s', HOST => {
    expect(() => readConfig({ HOST })).toThrow(new ConfigError([line(HOST)]))
    expect(() => readConfig({ HOST, DATABASE_URL: 'postgres://db/app' })).toThrow(ConfigError)
  })

  test.each(['127.0.0.1', '127.0.0.2', '127.255.255.254', '::1', 'localhost', 'LocalHost'])(
    'listens on HOST=%s',
    HOST => {
      expect(readConfig({ HOST })).toMatchObject({ host: HOST, issuer: { kind: 'in-process' } })
    },
  )

  test.each(['0.0.0.0', '::', 'api.example.com', 'auth'])('on another server allows HOST=%s', HOST => {
    expect(readConfig({ HOST, BETTER_AUTH_URL: issuerUrl })).toMatchObject({ host: HOST })
    const jwks = { JWKS_URL: 'https://keys.example.com/', JWT_ISSUER: 'them', JWT_AUDIENCE: 'us' }
    expect(readConfig({ HOST, ...jwks })).toMatchObject({ host: HOST })
  })

  test.each<[Env, string[]]>([
    [{ HOST: 'a b' }, ['HOST']],
    [{ HOST: '0.0.0.0', BETTER_AUTH_URL: 'auth' }, ['BETTER_AUTH_URL']],
    [{ HOST: '0.0.0.0', JWT_ISSUER: 'them' }, ['BETTER_AUTH_URL']],
    [{ HOST: '0.0.0.0', NODE_ENV: 'production', DATABASE_URL: 'postgres://db/app' }, ['BETTER_AUTH_URL']],
  ])('with a missing or wrong URL is reported in one line: %j', (env, names) => {
    const problems: string[] = []
    try {
      readConfig(env)
    } catch (error) {
      if (error instanceof ConfigError) problems.push(...error.problems)
    }
    expect(problems.map(problem => problem.split(':')[0])).toEqual(names)
  })
})

describe('in production', () => {
  const needsDatabase = 'DATABASE_URL: not set. Production needs the URL of a PostgreSQL.'
  const needsIssuer =
    'BETTER_AUTH_URL: not set. Production needs the URL of your Better Auth server (or JWKS_URL).'
  const production = { NODE_ENV: 'production' }
  const database = { DATABASE_URL: 'postgres://db/app' }

  test.each<[Env, string[]]>([
    [production, [needsDatabase, needsIssuer]],
    [{ ...production, ...database }, [needsIssuer]],
    [{ ...production, BETTER_AUTH_URL: issuerUrl }, [needsDatabase]],
  ])('%j is refused', (env, lines) => {
    expect(() => readConfig(env)).toThrow(new ConfigError(lines))
  })

  test.each<Env>([
    { BETTER_AUTH_URL: issuerUrl },
    { JWKS_URL: 'https://keys.example.com/', JWT_ISSUER: 'them', JWT_AUDIENCE: 'us' },
  ])('a database and %j are enough', issuer => {
    expect(readConfig({ ...production, ...database, ...issuer })).toMatchObject({ production: true })
  })

  const advice = 'is plain http to another machine. Use https://, or set JWKS_ALLOW_HTTP=true.'
  const them = { JWT_ISSUER: 'them', JWT_AUDIENCE: 'us' }

  test.each<[Env, string]>([
    [{ BETTER_AUTH_URL: 'http://auth.internal' }, 'BETTER_AUTH_URL'],
    [{ JWKS_URL: 'http://keys:8080/jwks', ...them }, 'JWKS_URL'],
    [{ JWKS_URL: 'http://127.0.0.1.example.com/', ...them }, 'JWKS_URL'],
    [{ BETTER_AUTH_URL: issuerUrl, JWKS_URL: 'http://keys/' }, 'JWKS_URL'],
    [{ BETTER_AUTH_URL: 'http://auth.internal', JWKS_ALLOW_HTTP: 'false' }, 'BETTER_AUTH_URL'],
  ])('keys over plain http from another machine are refused: %j', (issuer, name) => {
    const line = `${name}: ${JSON.stringify(issuer[name])} ${advice}`
    expect(() => readConfig({ ...production, ...database, ...issuer })).toThrow(new ConfigError([line]))
  })

  test.each<[Env, boolean]>([
    [{ BETTER_AUTH_URL: 'http://auth.internal', JWKS_ALLOW_HTTP: 'true' }, true],
    [{ BETTER_AUTH_URL: 'http://localhost:3000' }, false],
    [{ BETTER_AUTH_URL: 'http://127.0.0.1:3000' }, false],
    [{ BETTER_AUTH_URL: 'http://[::1]:3000' }, false],
    [{ BETTER_AUTH_URL: 'http://auth.internal', JWKS_URL: 'https://keys.example.com/' }, false],
  ])('%j is accepted', (issuer, jwksAllowHttp) => {
    expect(readConfig({ ...production, ...database, ...issuer })).toMatchObject({ jwksAllowHttp })
  })
})

test.each<[Env, boolean]>([
  [{}, true],
  [{ JWKS_ALLOW_HTTP: 'false', BETTER_AUTH_URL: 'https://auth.example.com' }, false],
])('outside production plain http is accepted, unless it is forbidden: %j', (env, jwksAllowHttp) => {
  expect(readConfig(env)).toMatchObject({ jwksAllowHttp })
})
