import { randomBytes } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { builtCommands, printedSql } from '../../parts/built-commands.js'
import { fakePostgres } from '../../parts/fake-postgres.js'
import { levelOf, type Owned, ownedDatabase } from '../../parts/logins.js'

const secret = randomBytes(32).toString('hex')

/** The SQL of docs/operations.md, "Logins". The attributes of both logins are those of the test. */
const roleSql = ({ role }: Owned) => [`create role ${role} nologin`]
const migratingLoginSql = ({ role, owner, database }: Owned) => [
  `grant ${role} to ${owner} with admin option`,
  `grant create on database ${database} to ${owner}`,
  `grant create, usage on schema public to ${owner}`,
]
const servingLoginSql = ({ role, server }: Owned) => [
  `alter role ${server} noinherit`,
  `grant ${role} to ${server}`,
]

const commands = await builtCommands()
afterAll(() => commands[Symbol.asyncDispose]())

/** A server that answers like a PostgreSQL without TLS. */
const startWithoutTls = () => fakePostgres(answer => answer('N'))

describe('the serving login', () => {
  test('is set up by an administrator if the owner may not: the SQL of the docs is all that is needed', async () => {
    await using owned = await ownedDatabase({ owner: '', server: '' })
    expect(await commands.migrateFor(owned, { FENCE_SECRET: secret })).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        RegExp(
          `^${owned.owner} may not migrate .* Give ${owned.owner} the rights of "Logins" in docs/.*\\n$`,
        ),
      ),
    })
    await owned.administer(...roleSql(owned), ...migratingLoginSql(owned), ...servingLoginSql(owned))
    for (const expected of ['Migrated: 0001_isolation, 0002_tasks.', 'The schema is up to date.']) {
      expect(await commands.migrateFor(owned, { FENCE_SECRET: secret })).toEqual({
        code: 0,
        stdout: expect.stringContaining(expected),
        stderr: '',
      })
    }
    expect(await levelOf(owned, secret)).toEqual({ level: 'signed', gaps: [], notes: [] })
  })

  test('needs no administrator if it is noinherit and the owner may create roles', async () => {
    await using owned = await ownedDatabase()
    expect(await commands.migrateFor(owned, { FENCE_SECRET: secret })).toMatchObject({ code: 0, stderr: '' })
    expect(await levelOf(owned, secret)).toEqual({ level: 'signed', gaps: [], notes: [] })
  })

  test('loses an inherited grant of the role, whoever granted it', async () => {
    await using owned = await ownedDatabase({ server: '' })
    const { owner, server, role } = owned
    await owned.administer(
      `create role ${role} nologin`,
      `grant ${role} to ${owner} with admin option`,
      `grant ${role} to ${server}`,
      `alter role ${server} noinherit`,
    )
    const { code, stderr } = await commands.migrateFor(owned, { FENCE_SECRET: secret })
    await owned.administer(...printedSql(stderr))
    expect(code).toBe(stderr === '' ? 0 : 1)
    expect(await commands.migrateFor(owned, { FENCE_SECRET: secret })).toMatchObject({ code: 0, stderr: '' })
    expect(await levelOf(owned, secret)).toEqual({ level: 'signed', gaps: [], notes: [] })
  })

  test.each([
    ['in the query', (login: string, host: string) => `postgres://${host}/DB?user=${login}&password=server`],
    ['in PGUSER', (_: string, host: string) => `postgres://${host}/DB`],
    [
      'without a host, which is in the query',
      (login: string, host: string) =>
        `postgres://${login}:server@/DB?${host.replace(/(.*):(.*)/, 'host=$1&port=$2')}`,
    ],
  ])('may be named %s', async (where, urlOf) => {
    await using owned = await ownedDatabase()
    const DATABASE_URL = urlOf(owned.server, new URL(owned.url).host).replace('DB', owned.database)
    const names: Record<string, string> =
      where === 'in PGUSER' ? { PGUSER: owned.server, PGPASSWORD: 'server' } : {}
    expect(await commands.migrateFor(owned, { DATABASE_URL, FENCE_SECRET: secret, ...names })).toMatchObject({
      code: 0,
      stderr: '',
    })
    expect(await levelOf(owned, secret)).toEqual({ level: 'signed', gaps: [], notes: [] })
  })

  test('is taken from the URL if no server answers there', async () => {
    await using owned = await ownedDatabase()
    const away = new URL(owned.serverUrl)
    away.port = '1'
    expect(await commands.migrateFor(owned, { DATABASE_URL: away.href })).toMatchObject({
      code: 0,
      stderr: '',
    })
    expect(await levelOf(owned)).toMatchObject({ level: 'plain', gaps: [], notes: [] })
  })

  test('causes a warning if its URL names another database', async () => {
    await using owned = await ownedDatabase()
    const other = new URL(owned.serverUrl)
    other.pathname = '/other'
    expect(await commands.migrateFor(owned, { DATABASE_URL: other.href })).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^DATABASE_URL names another database[^\n]*\n$/),
    })
  })

  test.each([
    ['is not named', '', /^DATABASE_URL: names no login.*\n$/],
    [
      'does not exist',
      'no_such_login@',
      /^The login no_such_login does not exist. .*\n {2}create role .*;\n$/,
    ],
  ])('is reported in plain words if it %s', async (_, login, message) => {
    await using owned = await ownedDatabase()
    const DATABASE_URL = `postgres://${login}${new URL(owned.url).host}/${owned.database}`
    const { code, stderr } = await commands.migrateFor(owned, { DATABASE_URL })
    expect([code, stderr]).toEqual([1, expect.stringMatching(message)])
  })
})

describe('the migrating login', () => {
  test.each([['before'], ['with the grant of the role, before'], ['after']])(
    'is named if its URL is missing, %s the first migration',
    async when => {
      await using owned = await ownedDatabase()
      const { owner, server, role, serverUrl, administer } = owned
      if (when === 'after') await commands.migrateFor(owned, { FENCE_SECRET: secret })
      else if (when !== 'before')
        await administer(`create role ${role} nologin`, `grant ${role} to ${server}`)
      const forgotten = { MIGRATION_DATABASE_URL: '', DATABASE_URL: serverUrl, FENCE_SECRET: secret }
      expect(await commands.migrateFor(owned, forgotten)).toEqual({
        code: 1,
        stdout: '',
        stderr: expect.stringMatching(
          RegExp(
            `^${server} may not migrate .* Set MIGRATION_DATABASE_URL to a URL of ${owner}, or [^\n]*\n$`,
          ),
        ),
      })
    },
  )

  test('that owns nothing needs only the SQL of the docs, which the error names', async () => {
    await using owned = await ownedDatabase({ owner: '' })
    await owned.administer(`alter database ${owned.database} owner to current_user`)
    expect(await commands.migrateFor(owned)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        RegExp(
          `^${owned.owner} may not migrate .* or give ${owned.owner} the rights of "Logins" in docs/.*\\n$`,
        ),
      ),
    })
    await owned.administer(...roleSql(owned), ...migratingLoginSql(owned), ...servingLoginSql(owned))
    expect(await commands.migrateFor(owned)).toMatchObject({ code: 0, stderr: '' })
    await owned.administer(`drop owned by ${owned.owner} cascade`)
  })

  test('that may create roles needs a grant of the role if another login created it', async () => {
    await using owned = await ownedDatabase({ server: '' })
    await owned.administer(`create role ${owned.role} nologin`)
    // On PostgreSQL 15 a login that may create roles may grant every role.
    const { code, stderr } = await commands.migrateFor(owned)
    expect(code).toBe(stderr === '' ? 0 : 1)
    if (code !== 0) expect(stderr).toContain(`Give ${owned.owner} the rights of "Logins"`)
    await owned.administer(...migratingLoginSql(owned), ...servingLoginSql(owned))
    expect(await commands.migrateFor(owned)).toMatchObject({ code: 0, stderr: '' })
  })

  test.each([
    ['MIGRATION_DATABASE_URL', 'away', 'No server answers'],
    ['MIGRATION_DATABASE_URL', 'without TLS', 'has no TLS'],
    ['MIGRATION_DATABASE_URL', 'without its certificate', 'A file'],
    ['DATABASE_URL', 'without its certificate', 'A file'],
  ])('is reported in one line if the server of %s is %s', async (name, state, problem) => {
    await using owned = await ownedDatabase()
    await using server = await startWithoutTls()
    const { href } = new URL(name === 'DATABASE_URL' ? owned.serverUrl : owned.ownerUrl)
    const urls: Record<string, string> = {
      away: 'postgres://me@127.0.0.1:1/db',
      'without TLS': `postgres://me@127.0.0.1:${server.port}/db?sslmode=verify-full`,
      'without its certificate': `${href}?sslrootcert=/no/such/file`,
    }
    const { code, stderr } = await commands.migrateFor(owned, { [name]: urls[state] ?? '' })
    expect(code).toBe(1)
    expect(stderr).toContain(problem)
    expect(stderr).toMatch(RegExp(`^[^\\n]* ${name}\\b[^\\n]*\\n$`))
  })
})

test('a DATABASE_ROLE that differs from the first migration is refused', async () => {
  await using owned = await ownedDatabase()
  await commands.migrateFor(owned)
  const { code, stderr } = await commands.migrateFor(owned, { DATABASE_ROLE: 'another' })
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(RegExp(`^[^\\n]* DATABASE_ROLE=${owned.role},.*\\n$`)),
  ])
})
