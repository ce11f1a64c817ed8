import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { openDatabase } from '../db/index.js'
import { compile } from './parts/compiled.js'
import { ownedDatabase } from './parts/logins.js'
import { runStatements } from './parts/run-statements.js'
import { ownIssuer } from './parts/wire.js'

const secret = randomBytes(32).toString('hex')

let compiled: Awaited<ReturnType<typeof compile>>
beforeAll(async () => {
  compiled = await compile()
}, 60_000)
afterAll(() => compiled[Symbol.asyncDispose]())

type Owned = Awaited<ReturnType<typeof ownedDatabase>>

/** Runs `npm run migrate` of the owner for the login that serves, to its end. */
async function migrate(owned: Owned, env: Record<string, string> = {}) {
  await using command = compiled.migrate(compiled.path, {
    MIGRATION_DATABASE_URL: owned.ownerUrl,
    DATABASE_URL: owned.serverUrl,
    DATABASE_ROLE: owned.role,
    ...env,
  })
  return await command.ended
}

/** The SQL that a command prints for an administrator. */
const printed = (stderr: string) => stderr.split('\n').filter(line => /^ {2}.*;$/.test(line))

async function levelOf({ serverUrl: url, role }: Owned, fenceSecret?: string) {
  const { fence, close } = await openDatabase({ url, role, fenceSecret })
  try {
    return await fence()
  } finally {
    await close()
  }
}

/** Runs `npm run fence` of the login that serves, to its end. */
async function fence({ serverUrl: DATABASE_URL, role: DATABASE_ROLE }: Owned) {
  await using command = compiled.fence(compiled.path, { DATABASE_URL, DATABASE_ROLE })
  return await command.ended
}

/** A server that answers as a PostgreSQL without TLS does. */
async function startWithoutTls() {
  const server = createServer(socket => socket.on('error', () => {}).once('data', () => socket.end('N')))
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    [Symbol.asyncDispose]: () => new Promise<void>(done => server.close(() => done())),
  }
}

describe('the login that serves', () => {
  test('is the administrator’s to set up where the owner may not, once: then there is nothing left to say', async () => {
    await using owned = await ownedDatabase({ owner: '', server: '' })
    const first = await migrate(owned, { FENCE_SECRET: secret })
    expect(first).toMatchObject({ code: 1, stdout: '' })
    await owned.administer(...printed(first.stderr))
    for (const expected of ['Migrated: 0001_tasks.', 'The schema is up to date.']) {
      expect(await migrate(owned, { FENCE_SECRET: secret })).toEqual({
        code: 0,
        stdout: expect.stringContaining(expected),
        stderr: '',
      })
    }
    expect(await levelOf(owned, secret)).toEqual({ level: 'signed', gaps: [] })
  })

  test('needs nothing from an administrator where it is noinherit, and the owner may make roles', async () => {
    await using owned = await ownedDatabase()
    expect(await migrate(owned, { FENCE_SECRET: secret })).toMatchObject({ code: 0, stderr: '' })
    expect(await levelOf(owned, secret)).toEqual({ level: 'signed', gaps: [] })
  })

  test('has what it inherits of the role taken, whoever granted it', async () => {
    await using owned = await ownedDatabase({ server: '' })
    const { owner, server, role } = owned
    await owned.administer(
      `create role ${role} nologin`,
      `grant ${role} to ${owner} with admin option`,
      `grant ${role} to ${server}`,
      `alter role ${server} noinherit`,
    )
    const { code, stderr } = await migrate(owned, { FENCE_SECRET: secret })
    await owned.administer(...printed(stderr))
    expect(code).toBe(stderr === '' ? 0 : 1)
    expect(await migrate(owned, { FENCE_SECRET: secret })).toMatchObject({ code: 0, stderr: '' })
    expect(await levelOf(owned, secret)).toEqual({ level: 'signed', gaps: [] })
  })

  test.each([
    ['in the query', (login: string, host: string) => `postgres://${host}/DB?user=${login}&password=server`],
    ['in PGUSER', (_: string, host: string) => `postgres://${host}/DB`],
    [
      'before no host, which is in the query',
      (login: string, host: string) =>
        `postgres://${login}:server@/DB?${host.replace(/(.*):(.*)/, 'host=$1&port=$2')}`,
    ],
  ])('may be named %s', async (where, urlOf) => {
    await using owned = await ownedDatabase()
    const DATABASE_URL = urlOf(owned.server, new URL(owned.url).host).replace('DB', owned.database)
    const names: Record<string, string> =
      where === 'in PGUSER' ? { PGUSER: owned.server, PGPASSWORD: 'server' } : {}
    expect(await migrate(owned, { DATABASE_URL, FENCE_SECRET: secret, ...names })).toMatchObject({
      code: 0,
      stderr: '',
    })
    expect(await levelOf(owned, secret)).toEqual({ level: 'signed', gaps: [] })
  })

  test('is taken from the URL where nobody answers there yet', async () => {
    await using owned = await ownedDatabase()
    const away = new URL(owned.serverUrl)
    away.port = '1'
    expect(await migrate(owned, { DATABASE_URL: away.href })).toMatchObject({ code: 0, stderr: '' })
    expect(await levelOf(owned)).toEqual({ level: 'plain', gaps: [] })
  })

  test.each([
    ['cannot be known', '', /^DATABASE_URL: names no login.*\n$/],
    ['is not there', 'no_such_login@', /^There is no login no_such_login. .*\n {2}create role .*;\n$/],
  ])('that %s is told in plain words', async (_, login, message) => {
    await using owned = await ownedDatabase()
    const DATABASE_URL = `postgres://${login}${new URL(owned.url).host}/${owned.database}`
    const { code, stderr } = await migrate(owned, { DATABASE_URL })
    expect([code, stderr]).toEqual([1, expect.stringMatching(message)])
  })
})

describe('the login that migrates', () => {
  test.each([['before'], ['with the grant of the role, before'], ['after']])(
    'is asked for where it was forgotten, %s the first migration',
    async when => {
      await using owned = await ownedDatabase()
      const { owner, server, role, serverUrl, administer } = owned
      if (when === 'after') await migrate(owned, { FENCE_SECRET: secret })
      else if (when !== 'before')
        await administer(`create role ${role} nologin`, `grant ${role} to ${server}`)
      const forgotten = { MIGRATION_DATABASE_URL: '', DATABASE_URL: serverUrl, FENCE_SECRET: secret }
      expect(await migrate(owned, forgotten)).toEqual({
        code: 1,
        stdout: '',
        stderr: expect.stringMatching(
          RegExp(
            `^${server} is not the login that migrates .* MIGRATION_DATABASE_URL, to a URL of ${owner}\\.\n$`,
          ),
        ),
      })
    },
  )

  test('that owns nothing is told what to be granted, and needs nothing else', async () => {
    await using owned = await ownedDatabase({ owner: '' })
    await owned.administer(`alter database ${owned.database} owner to current_user`)
    const { code, stderr } = await migrate(owned)
    expect([code, printed(stderr)]).toEqual([
      1,
      ['create role', `grant ${owned.role} to`, 'grant create on', 'grant create, usage on', 'grant'].map(
        start => expect.stringContaining(`  ${start} `),
      ),
    ])
    await owned.administer(...printed(stderr))
    expect(await migrate(owned)).toMatchObject({ code: 0, stderr: '' })
    await owned.administer(`drop owned by ${owned.owner} cascade`)
  })

  test('that may make roles is told to be granted the one that another has made', async () => {
    await using owned = await ownedDatabase({ server: '' })
    await owned.administer(`create role ${owned.role} nologin`)
    // On PostgreSQL 15 who may make roles may grant any.
    const { code, stderr } = await migrate(owned)
    expect(code).toBe(printed(stderr).length === 0 ? 0 : 1)
    await owned.administer(...printed(stderr))
    expect(await migrate(owned)).toMatchObject({ code: 0, stderr: '' })
  })

  test.each([
    ['MIGRATION_DATABASE_URL', 'away', 'No server answers'],
    ['MIGRATION_DATABASE_URL', 'without TLS', 'has no TLS'],
    ['MIGRATION_DATABASE_URL', 'without its certificate', 'A file'],
    ['DATABASE_URL', 'without its certificate', 'A file'],
  ])('is told in one line that the server of %s is %s', async (name, state, problem) => {
    await using owned = await ownedDatabase()
    await using server = await startWithoutTls()
    const { href } = new URL(name === 'DATABASE_URL' ? owned.serverUrl : owned.ownerUrl)
    const urls: Record<string, string> = {
      away: 'postgres://me@127.0.0.1:1/db',
      'without TLS': `postgres://me@127.0.0.1:${server.port}/db?sslmode=verify-full`,
      'without its certificate': `${href}?sslrootcert=/no/such/file`,
    }
    const { code, stderr } = await migrate(owned, { [name]: urls[state] ?? '' })
    expect(code).toBe(1)
    expect(stderr).toContain(problem)
    expect(stderr).toMatch(RegExp(`^[^\\n]* ${name}\\b[^\\n]*\\n$`))
  })
})

test('the three statements of the README and its two commands are all that signed needs', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
  const [, block = ''] = /```sql\n(create role[^`]+)```/.exec(readme) ?? []
  const statements = block.trim().split('\n')
  expect(statements).toHaveLength(3)
  const id = randomBytes(4).toString('hex')
  const named = (text: string) =>
    text.replace(/\b(owner|server|app)\b(?! owner;)/g, `$1_${id}`).replace('…', id)
  const admin = inject('postgresUrl')
  const urlOf = (login: string) => named(`postgres://${login}:…@${new URL(admin).host}/app`)
  const env = { FENCE_SECRET: secret, DATABASE_FENCE: 'signed', DATABASE_ROLE: `role_${id}` }
  try {
    await runStatements(admin, ...statements.map(named))
    const urls = { MIGRATION_DATABASE_URL: urlOf('owner'), DATABASE_URL: urlOf('server') }
    await using migration = compiled.migrate(compiled.path, { ...env, ...urls })
    expect(await migration.ended).toMatchObject({ code: 0, stderr: '' })
    await using issuer = await ownIssuer()
    await using server = compiled.start(compiled.path, {
      ...env,
      PORT: '0',
      DATABASE_URL: urls.DATABASE_URL,
      BETTER_AUTH_URL: issuer.url,
    })
    const [, url] = await server.said(/"url":"([^"]+)"/)
    expect(await (await fetch(`${url}/readyz`)).json()).toMatchObject({ ready: true, fence: 'signed' })
  } finally {
    await runStatements(
      admin,
      `drop database if exists app_${id} with (force)`,
      `drop role if exists role_${id}, server_${id}, owner_${id}`,
    )
  }
})

test('from plain to signed no call is refused, of servers that have the secret before the database does', async () => {
  await using owned = await ownedDatabase()
  const { ownerUrl, serverUrl, role } = owned
  await migrate(owned)
  const servers = await Promise.all(
    [ownerUrl, serverUrl].map(url => openDatabase({ url, role, fenceSecret: secret })),
  )
  const add = () =>
    Promise.all(
      servers.map(({ forUser }) =>
        forUser('alice').insertInto('tasks').values({ id: crypto.randomUUID(), title: 'x' }).execute(),
      ),
    )
  try {
    let isOver = false
    const migrated = migrate(owned, { FENCE_SECRET: secret }).finally(() => {
      isOver = true
    })
    while (!isOver) await add()
    expect(await migrated).toMatchObject({ code: 0, stdout: expect.stringContaining('signed now') })
    await add()
    expect(await levelOf(owned, secret)).toEqual({ level: 'signed', gaps: [] })
  } finally {
    for (const server of servers) await server.close()
  }
})

test('a new secret and a changed one are told, and the same one is not', async () => {
  await using owned = await ownedDatabase()
  const tells = async (FENCE_SECRET: string) =>
    (await migrate(owned, { FENCE_SECRET })).stdout.split('\n').slice(1)
  expect((await migrate(owned)).stdout).toMatch(/^Migrated: 0001_tasks\.\nThe level is plain: .*\n$/)
  expect(await tells(secret)).toEqual([expect.stringContaining('signed now'), ''])
  expect(await tells(secret)).toEqual([''])
  expect(await tells(randomBytes(32).toString('hex'))).toEqual([
    expect.stringContaining('has been changed'),
    '',
  ])
})

test('another DATABASE_ROLE than that of the first migration is refused', async () => {
  await using owned = await ownedDatabase()
  await migrate(owned)
  const { code, stderr } = await migrate(owned, { DATABASE_ROLE: 'another' })
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(RegExp(`^[^\\n]* DATABASE_ROLE=${owned.role},.*\\n$`)),
  ])
})

test('npm run fence prints the grant that a login lacks to become the role, and stands once it was run', async () => {
  await using owned = await ownedDatabase()
  const { role, server, owner } = owned
  await migrate(owned)
  await owned.administer(`revoke ${role} from ${server} granted by ${owner}`)
  const { code, stdout, stderr } = await fence(owned)
  expect([code, stdout]).toEqual([1, ''])
  expect(printed(stderr)).toEqual([expect.stringContaining(`grant ${role} to ${server}`)])
  await owned.administer(...printed(stderr))
  expect(await fence(owned)).toMatchObject({ code: 0, stderr: '' })
})

test('npm run fence says which other right a login lacks', async () => {
  await using owned = await ownedDatabase()
  await migrate(owned)
  await owned.administer('revoke usage on schema trpc_bearer from public')
  const { code, stderr } = await fence(owned)
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^[^\n]*permission denied for schema trpc_bearer[^\n]*\n$/),
  ])
})
