import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase } from '../db/index.js'
import { compile } from './parts/compiled.js'
import { ownedDatabase } from './parts/logins.js'

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
