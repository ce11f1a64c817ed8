import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { builtCommands } from '../parts/built-commands.js'
import { seconds as now } from '../parts/clock.js'
import { dataDir } from '../parts/database.js'
import { bearer, json, type Sent, send } from '../parts/http-client.js'
import { makeKey, startIssuer } from '../parts/issuer.js'
import { ownedDatabase } from '../parts/logins.js'
import { OutputLog } from './secret-search.js'

type Header = [name: string, value: string]

const written = new OutputLog()
beforeAll(async () => {
  await using compiled = await builtCommands()
  await using database = await ownedDatabase()
  await using data = await dataDir()
  const fenceSecret = written.secret(randomBytes(32).toString('hex'))
  const passwords = { owner: written.secret(`%-owner-${crypto.randomUUID()}`), server: written.secret() }
  await database.administer(
    `alter role ${database.owner} password '${passwords.owner}'`,
    `alter role ${database.server} password '${passwords.server}'`,
  )
  const env = {
    MIGRATION_DATABASE_URL: withPassword(database.ownerUrl, passwords.owner),
    DATABASE_URL: withPassword(database.serverUrl, passwords.server),
    DATABASE_ROLE: database.role,
    FENCE_SECRET: fenceSecret,
    BETTER_AUTH_SECRET: written.secret(randomBytes(32).toString('hex')),
    DATA_DIR: data.path,
    LOG_LEVEL: 'debug',
    PORT: '0',
  }
  const keep = async (name: string, { ended }: ReturnType<typeof compiled.start>) => {
    const { stdout, stderr } = await ended
    written.add(`${name}, stdout`, stdout)
    written.add(`${name}, stderr`, stderr)
  }
  const command = async (name: string, run: typeof compiled.start, more: Record<string, string> = {}) => {
    await using program = run(data.path, { ...env, ...more })
    await keep(name, program)
  }

  await command('migrate', compiled.migrate)
  const wrong = withPassword(env.DATABASE_URL, written.secret())
  await Promise.all([
    command('fence', compiled.fence),
    command('fence, another secret', compiled.fence, { FENCE_SECRET: written.secret() }),
    command('migrate, wrong password', compiled.migrate, { MIGRATION_DATABASE_URL: wrong }),
    command('fence, no such host', compiled.fence, {
      DATABASE_URL: `postgres://login:${passwords.server}@nowhere.invalid/database`,
    }),
    command('start, broken settings', compiled.start, {
      DATABASE_URL: `mysql://login:${passwords.server}@127.0.0.1/database`,
      FENCE_SECRET: written.secret(randomBytes(12).toString('hex')),
      PORT: 'planted-port',
    }),
  ])

  await using issuing = compiled.start(data.path, env)
  const [, own = ''] = await issuing.waitForOutput(/^trpc-bearer runs at (http:\S+),/m)
  written.secret(await readFile(join(data.path, 'auth-secret'), 'utf8'))
  await useOwnIssuer(own)

  await using issuer = await startIssuer({ keys: [await makeKey(), await makeKey('RS256')] })
  await using remote = compiled.start(data.path, {
    ...env,
    FENCE_SECRET: written.secret(),
    BETTER_AUTH_URL: issuer.url,
  })
  const [, url = ''] = await remote.waitForOutput(/"url":"([^"]+)"/)
  await useElsewhere(url, issuer)

  // Both servers once more, without the database.
  await database.administer(
    `alter role ${database.server} nologin`,
    `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${database.server}'`,
  )
  for (const from of [own, url]) await look(from)
  await ask(own, '/trpc/tasks.list', [bearer(ownToken)])
  for (const [name, server] of Object.entries({ issuing, remote })) {
    await server.stop('SIGTERM')
    await keep(name, server)
  }
}, 90_000)

test('nothing that was written has a token, cookie, secret or password in it', () => {
  expect(written.secrets.length).toBeGreaterThan(40)
  expect(written.leaks()).toEqual([])
})

test('what stands there is found: in a log, in an answer, on standard error, and cut short', () => {
  expect(written.find('planted-in-issuing')).toEqual(['answer to /trpc/tasks.list', 'issuing, stdout'])
  expect(written.find('planted-in-remote')).toEqual(['answer to /trpc/me', 'remote, stdout'])
  expect(written.find('planted-port')).toEqual(['start, broken settings, stderr'])
  const leaky = new OutputLog()
  for (const secret of written.secrets) {
    leaky.secret(secret)
    leaky.add('log', `{"token":"${secret.slice(0, 30)}…"}`)
  }
  expect(leaky.leaks().map(({ secret }) => secret)).toEqual(written.secrets)
})

test('all of it was written: every refusal, the outages, and what the commands said', () => {
  const refused = [...written.textOf('remote, stdout').matchAll(/"refused":{"reason":"(\w+)"/g)]
  expect(new Set(refused.map(([, reason]) => reason))).toEqual(
    new Set([
      'malformed',
      'signature',
      'expired',
      'not_yet_valid',
      'issuer',
      'audience',
      'algorithm',
      'unknown_key',
      'claims',
      'keys_unavailable',
    ]),
  )
  expect(written.textOf('remote, stdout')).toContain('SERVICE_UNAVAILABLE')
  expect(written.textOf('issuing, stdout')).toContain('SERVICE_UNAVAILABLE')
  for (const name of ['fence, another secret', 'fence, no such host', 'start, broken settings'])
    expect(written.textOf(`${name}, stderr`)).not.toBe('')
  expect(written.textOf('migrate, stdout')).toContain('The identity is signed now')
})

let ownToken = ''

/** Signs up, in and out at the server's own issuer, and sends valid and invalid calls. */
async function useOwnIssuer(url: string) {
  const origin: Header = ['origin', url]
  const posted = (value: object) => ({ ...json(value), headers: [origin, ...json(value).headers] })
  const person = { name: 'Alice', email: `${crypto.randomUUID()}@example.com`, password: written.secret() }
  const given: Header[] = []
  for (const [path, value] of [
    ['sign-up', person],
    ['sign-in', person],
  ] as const) {
    const answer = await send(url, `/api/auth/${path}/email`, posted(value))
    const { token } = JSON.parse(await answer.text())
    written.secret(token)
    const cookies = answer.headers.getSetCookie().map(cookie => cookie.split(';')[0] ?? '')
    for (const cookie of cookies) written.cookie(cookie)
    given.push(['cookie', cookies.join('; ')])
  }
  const [first, second] = given
  if (first === undefined || second === undefined) throw new Error('Nobody was signed in.')
  ownToken = JSON.parse(await (await send(url, '/api/auth/token', { headers: [second] })).text()).token
  written.token(ownToken)

  await ask(url, '/api/auth/sign-in/email', posted({ ...person, password: written.secret() }))
  await ask(url, '/api/auth/sign-up/email', posted(person))
  await ask(url, '/api/auth/change-password', {
    ...posted({ currentPassword: written.secret(), newPassword: written.secret() }),
    headers: [first, origin, ...json({}).headers.slice(0, 1)],
  })
  await ask(url, '/trpc/me', [bearer(ownToken), second])
  const post: Required<Sent> = {
    method: 'POST',
    headers: [bearer(ownToken), ['content-type', 'application/json']],
    body: JSON.stringify({ json: { title: 'milk' } }),
  }
  await ask(url, '/trpc/tasks.create', post)
  await ask(url, '/trpc/tasks.create', { ...post, body: '{"json":' })
  await ask(url, '/trpc/tasks.create', { ...post, headers: [bearer(ownToken)] })
  await ask(url, '/trpc/tasks.list', [bearer(ownToken), ['x-request-id', 'planted-in-issuing']])
  await ask(url, `/trpc/me?token=${ownToken}`)
  await ask(url, '/trpc/me', [second])
  await ask(url, '/api/auth/sign-out', { ...posted({}), headers: [origin, first, ...json({}).headers] })
  await look(url)
}

/** Calls a server with an external issuer with tokens of all kinds, before and during an outage of the issuer. */
async function useElsewhere(url: string, issuer: Awaited<ReturnType<typeof startIssuer>>) {
  const [key, rsa] = issuer.keys
  const stranger = await makeKey()
  if (key === undefined || rsa === undefined) throw new Error('The issuer has no keys.')
  const good = written.token(await key.sign(issuer.claims({ email: 'alice@example.com' })))
  const [head = '', claims = '', signature = ''] = good.split('.')
  const flipped = (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1)
  const none = Buffer.from('{"alg":"none"}').toString('base64url')
  const tokens = await Promise.all([
    good,
    rsa.sign(issuer.claims()),
    key.sign(issuer.claims({ exp: now() - 60 })),
    key.sign(issuer.claims({ nbf: now() + 60 })),
    key.sign(issuer.claims({ aud: 'https://another.example' })),
    key.sign(issuer.claims({ iss: 'https://another.example' })),
    key.sign(issuer.claims({ sub: '' })),
    key.sign(issuer.claims(), { typ: 'logout+jwt' }),
    stranger.sign(issuer.claims()),
    stranger.sign(issuer.claims(), { kid: key.kid }),
    `${head}.${claims}.${flipped}`,
    `${none}.${claims}.`,
    `${good}${'x'.repeat(8_200)}`,
    `${head}.${claims}`,
  ])
  for (const token of tokens) await ask(url, '/trpc/tasks.list', [bearer(written.token(token))])
  await ask(url, '/trpc/me', [bearer(good), bearer(tokens[1] ?? '')])
  await ask(url, '/trpc/me', [['authorization', `Basic ${written.secret()}`]])
  // The answer quotes the path to the sender.
  await send(url, `/trpc/${good}`, { headers: [bearer(good)] })
  await ask(url, `/${good}`)
  await ask(url, '/trpc/me', [['x-request-id', 'planted-in-remote']])
  await look(url)
  await issuer.close()
  for (const token of [good, await (await makeKey()).sign(issuer.claims())])
    await ask(url, '/trpc/me', [bearer(written.token(token))])
  await look(url)
}

/** Sends a request and records the answer: none may contain a token, cookie or password. */
async function ask(url: string, path: string, sent: Sent | Header[] = []) {
  const answer = await send(url, path, Array.isArray(sent) ? { headers: sent } : sent)
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`)
  const body = await answer.text()
  written.add(`answer to ${path.split(/\?|ey/)[0]}`, `${answer.status}\n${headers.join('\n')}\n${body}`)
}

async function look(url: string) {
  for (const path of ['/readyz', '/metrics', '/healthz', '/']) await ask(url, path)
}

function withPassword(url: string, password: string): string {
  const other = new URL(url)
  other.password = encodeURIComponent(password)
  return other.href
}
