import { readFile } from 'node:fs/promises'
import { parseEnv } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ConfigError, readConfig } from '../../../server/index.js'

type Env = Record<string, string>

function problemsOf(env: Env): readonly string[] {
  try {
    readConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

describe('what the environment may say', () => {
  test('nothing at all is a server for trying things out, on this machine only', () => {
    expect(readConfig({})).toEqual({
      port: 4000,
      clockTolerance: 5,
      host: '127.0.0.1',
      production: false,
      databaseUrl: undefined,
      dataDir: '.data',
      migrationDatabaseUrl: undefined,
      databaseRole: 'app_user',
      preparedStatements: true,
      databaseFence: undefined,
      fenceSecret: undefined,
      databasePoolMax: 10,
      databaseConnectTimeout: 5,
      statementTimeout: 15,
      keepAliveTimeout: 65,
      issuer: { kind: 'in-process' },
      jwksAllowHttp: true,
      corsOrigins: [],
      logLevel: 'info',
    })
  })

  test.each([
    ['PORT', '0', { port: 0 }],
    ['PORT', '65535', { port: 65_535 }],
    ['HOST', '::1', { host: '::1' }],
    ['HOST', 'localhost', { host: 'localhost' }],
    ['HOST', 'LOCALHOST', { host: 'LOCALHOST' }],
    ['HOST', '127.1.2.3', { host: '127.1.2.3' }],
    ['HOST', '0:0:0:0:0:0:0:1', { host: '0:0:0:0:0:0:0:1' }],
    ['NODE_ENV', 'test', { production: false }],
    ['DATABASE_URL', 'postgres://me:secret@db:5432/app', { databaseUrl: 'postgres://me:secret@db:5432/app' }],
    ['DATABASE_URL', 'postgresql:///app?host=/run/pg', { databaseUrl: 'postgresql:///app?host=/run/pg' }],
    [
      'DATABASE_URL',
      'postgres://me@/app?host=/run/pg&port=5433',
      { databaseUrl: 'postgres://me@/app?host=/run/pg&port=5433' },
    ],
    ['DATA_DIR', '/var/lib/api', { dataDir: '/var/lib/api' }],
    ['DATABASE_ROLE', 'api_caller', { databaseRole: 'api_caller' }],
    ['DATABASE_POOL_MAX', '1', { databasePoolMax: 1 }],
    ['DATABASE_CONNECT_TIMEOUT', '30', { databaseConnectTimeout: 30 }],
    ['STATEMENT_TIMEOUT', '1', { statementTimeout: 1 }],
    ['KEEP_ALIVE_TIMEOUT', '610', { keepAliveTimeout: 610 }],
    ['LOG_LEVEL', 'silent', { logLevel: 'silent' }],
    ['CORS_ORIGINS', 'http://localhost:3000', { corsOrigins: ['http://localhost:3000'] }],
    [
      'CORS_ORIGINS',
      'https://a.example , https://b.example',
      { corsOrigins: ['https://a.example', 'https://b.example'] },
    ],
    ...[
      'capacitor://localhost',
      'ionic://localhost',
      'tauri://localhost',
      'chrome-extension://abcdef',
      'app://obsidian.md',
    ].map((origin): [string, string, object] => ['CORS_ORIGINS', origin, { corsOrigins: [origin] }]),
  ])('%s=%s', (name, value, expected) => {
    expect(readConfig({ [name]: value })).toMatchObject(expected)
  })

  test('an empty variable counts as unset', () => {
    const names = [
      'PORT',
      'HOST',
      'DATABASE_URL',
      'BETTER_AUTH_URL',
      'JWT_ISSUER',
      'CORS_ORIGINS',
      'LOG_LEVEL',
    ]
    expect(readConfig(Object.fromEntries(names.map(name => [name, ''])))).toEqual(readConfig({}))
  })

  test('other variables are ignored', () => {
    expect(readConfig({ PATH: '/bin', PORTS: 'abc', port: 'abc' })).toEqual(readConfig({}))
  })
})

describe('wrong values in the environment', () => {
  const seconds = 'is not valid. Use a whole number from 1 to'
  const url = 'is not an http URL. Use one such as https://auth.example.com.'
  const origins =
    'is not a list of origins. Use origins separated by commas, without path, trailing slash or *, such as https://app.example.com or capacitor://localhost.'
  const hidden = 'the value (not shown)'
  const postgres = 'is not a PostgreSQL URL. Use postgres://user:password@host:5432/database'
  const levels = 'is not a level. Use one of fatal, error, warn, info, debug, trace, silent.'

  test.each([
    ['PORT', 'abc', '"abc"', 'is not valid. Use a whole number from 0 to 65535.'],
    ['PORT', '65536', '"65536"', 'is not valid. Use a whole number from 0 to 65535.'],
    ['PORT', '-1', '"-1"', 'is not valid. Use a whole number from 0 to 65535.'],
    ['PORT', '80.5', '"80.5"', 'is not valid. Use a whole number from 0 to 65535.'],
    ['PORT', '1e3', '"1e3"', 'is not valid. Use a whole number from 0 to 65535.'],
    ['PORT', ' 80', '" 80"', 'is not valid. Use a whole number from 0 to 65535.'],
    [
      'PORT',
      '99999999999999999999',
      '"99999999999999999999"',
      'is not valid. Use a whole number from 0 to 65535.',
    ],
    ['PORT', '80\n90', '"80\\n90"', 'is not valid. Use a whole number from 0 to 65535.'],
    [
      'HOST',
      'http://localhost',
      '"http://localhost"',
      'is not a host name or IP address. Use 127.0.0.1 or another address of this machine.',
    ],
    ['DATABASE_URL', 'localhost', '"localhost"', postgres],
    ['DATABASE_URL', 'postgres:///app?host=/tmp&port=abc', hidden, 'has a port that is not a number.'],
    ['DATABASE_URL', 'hunter2', hidden, postgres],
    ['DATABASE_URL', 'mysql://root:hunter2@db/app', hidden, postgres],
    ['DATABASE_URL', 'postgres://me:hunter2@db:port/app', hidden, postgres],
    ['DATABASE_URL', 'host=db password=hunter2', hidden, postgres],
    ['DATABASE_URL', 'postgres://me:hunter%2@db:port/app', hidden, postgres],
    ['DATABASE_URL', 'postgres:app', hidden, postgres],
    [
      'DATABASE_URL',
      'postgres://me:hunter%2@db/app',
      hidden,
      'has a % that is not encoded. Write a % of the password as %25.',
    ],
    [
      'DATABASE_ROLE',
      'App-User',
      '"App-User"',
      'is not a lower-case PostgreSQL name. Use a name such as app_user.',
    ],
    [
      'DATABASE_ROLE',
      'x; drop role me',
      '"x; drop role me"',
      'is not a lower-case PostgreSQL name. Use a name such as app_user.',
    ],
    ['DATABASE_POOL_MAX', '0', '"0"', `${seconds} 1000.`],
    ['DATABASE_CONNECT_TIMEOUT', '0', '"0"', `${seconds} 300.`],
    ['DATABASE_CONNECT_TIMEOUT', '5s', '"5s"', `${seconds} 300.`],
    ['STATEMENT_TIMEOUT', '0', '"0"', `${seconds} 3600.`],
    ['BETTER_AUTH_URL', 'auth.example.com', '"auth.example.com"', url],
    ['BETTER_AUTH_URL', 'ftp://auth.example.com', '"ftp://auth.example.com"', url],
    ['BETTER_AUTH_URL', 'ftp://auth.example.com/?key=hunter2', '"ftp://auth.example.com/"', url],
    [
      'BETTER_AUTH_URL',
      'https://me:hunter2@auth.example.com',
      '"***@auth.example.com"',
      'contains a user or password. Remove them from the URL.',
    ],
    ['FENCE_SECRET', 'hunter2', hidden, 'is too short. Use a random secret of at least 32 characters.'],
    ['DATABASE_FENCE', 'high', '"high"', 'is not valid. Use plain or signed.'],
    ['DATABASE_PREPARED_STATEMENTS', 'yes', '"yes"', 'is not valid. Use true or false.'],
    ['LOG_LEVEL', 'verbose', '"verbose"', levels],
    ['CORS_ORIGINS', '*', '"*"', origins],
    ['CORS_ORIGINS', 'https://a.example,*', '"https://a.example,*"', origins],
    ['CORS_ORIGINS', 'https://*.example.com', '"https://*.example.com"', origins],
    ['CORS_ORIGINS', 'null', '"null"', origins],
    ['CORS_ORIGINS', 'https://a.example/', '"https://a.example/"', origins],
    ['CORS_ORIGINS', 'https://a.example/app', '"https://a.example/app"', origins],
    ['CORS_ORIGINS', 'app.example.com', '"app.example.com"', origins],
    ['CORS_ORIGINS', 'https://a.example,', '"https://a.example,"', origins],
    ['CORS_ORIGINS', 'capacitor://localhost/', '"capacitor://localhost/"', origins],
    ['CORS_ORIGINS', 'capacitor://*', '"capacitor://*"', origins],
    ['CORS_ORIGINS', 'file://', '"file://"', origins],
    ['CORS_ORIGINS', 'javascript:alert(1)', '"javascript:alert(1)"', origins],
    ['CORS_ORIGINS', 'HTTPS://A.example', '"HTTPS://A.example"', origins],
  ])('%s=%j is reported in one line', (name, value, found, expected) => {
    expect(problemsOf({ [name]: value })).toEqual([`${name}: ${found} ${expected}`])
  })

  test('every wrong variable has its own line in the message', () => {
    const env = { PORT: 'abc', LOG_LEVEL: 'loud', STATEMENT_TIMEOUT: '0' }
    expect(problemsOf(env).map(line => line.split(':')[0])).toEqual([
      'PORT',
      'STATEMENT_TIMEOUT',
      'LOG_LEVEL',
    ])
    expect(() => readConfig(env)).toThrow(problemsOf(env).join('\n'))
  })

  test('missing and wrong variables are reported together', () => {
    const lines = problemsOf({ PORT: 'abc', NODE_ENV: 'production' })
    expect(lines.map(line => line.split(':')[0]).sort()).toEqual(['BETTER_AUTH_URL', 'DATABASE_URL', 'PORT'])
  })

  test('a variable that is wrong is not reported as missing too', () => {
    const env = {
      NODE_ENV: 'production',
      DATABASE_URL: 'mysql://db/app',
      BETTER_AUTH_URL: 'https://auth.example.com',
    }
    expect(problemsOf(env)).toHaveLength(1)
  })

  test.each([
    [{ DATABASE_FENCE: 'signed' }, ['DATABASE_URL', 'FENCE_SECRET']],
    [{ DATABASE_FENCE: 'signed', DATABASE_URL: 'postgres://db/app' }, ['FENCE_SECRET']],
    [{ MIGRATION_DATABASE_URL: 'postgres://db/app' }, ['DATABASE_URL']],
    [
      { NODE_ENV: 'production', MIGRATION_DATABASE_URL: 'postgres://db/app', DATABASE_FENCE: 'signed' },
      ['DATABASE_URL', 'FENCE_SECRET', 'BETTER_AUTH_URL'],
    ],
  ])('%j reports each missing variable once', (env, names) => {
    expect(problemsOf(env)).toEqual(names.map(name => expect.stringMatching(`^${name}: not set\\. `)))
  })

  test('a wrong JWKS_URL is reported together with the variables that it needs', () => {
    expect(problemsOf({ JWKS_URL: '/api/auth/jwks' })).toEqual([
      `JWKS_URL: "/api/auth/jwks" ${url}`,
      expect.stringMatching(/^JWT_ISSUER: not set/),
      expect.stringMatching(/^JWT_AUDIENCE: not set/),
    ])
  })

  test.each(['DATABASE_URL', 'BETTER_AUTH_URL', 'JWKS_URL'])(
    'a password in a wrong %s is not shown',
    name => {
      const lines = problemsOf({ [name]: 'htps://me:hunter2@host.example.com' })
      expect(lines[0]).toContain(name)
      expect(lines.join()).not.toContain('hunter2')
    },
  )
})

describe('.env.example', async () => {
  const example = await readFile(new URL('../../../.env.example', import.meta.url), 'utf8')
  const source = await readFile(new URL('../../../server/app/config.ts', import.meta.url), 'utf8')
  const read = [...source.matchAll(/^ {2}([A-Z][A-Z_]+):/gm)].map(([, name = '']) => name)

  test('names every variable that is read', () => {
    expect(read).toEqual(expect.arrayContaining(['PORT', 'DATABASE_URL', 'JWKS_URL', 'LOG_LEVEL']))
    expect(read.filter(name => !new RegExp(`\\b${name}\\b`).test(example))).toEqual([])
  })

  test('names no variable that is not read', () => {
    const named = [...example.matchAll(/^#?([A-Z_]+)=/gm)].map(([, name = '']) => name)
    expect(named.filter(name => !read.includes(name))).toEqual([])
  })

  test('shows the defaults', () => {
    expect(readConfig(parseEnv(example))).toEqual(readConfig({}))
  })

  test('shows valid values in its commented lines', () => {
    const all = parseEnv(example.replace(/^#(?=[A-Z_]+=)/gm, ''))
    expect(readConfig(all)).toMatchObject({
      databaseUrl: expect.stringMatching(/^postgres:/),
      issuer: { kind: 'remote', jwksUrl: 'https://auth.example.com/api/auth/jwks' },
      corsOrigins: ['http://localhost:3000', 'https://app.example.com'],
    })
  })
})
