import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dataDir } from '../../parts/database.js'
import { bearer, json, type Sent, send } from '../../parts/http-client.js'
import { builtServer, startProgram } from '../../parts/program.js'
import { temporaryFolder } from '../../parts/temporary-folder.js'

/** The server in its own process, in a folder without `.env`. */
async function startProcess() {
  const [data, cwd] = [await dataDir(), await temporaryFolder()]
  const program = startProgram(process.execPath, [builtServer], {
    cwd: cwd.path,
    env: { PORT: '0', DATA_DIR: data.path, LOG_LEVEL: 'info' },
  })
  const dispose = async () => {
    await program.stop()
    await data[Symbol.asyncDispose]()
    await cwd[Symbol.asyncDispose]()
  }
  const [, url = ''] = await program.waitForOutput(/runs at (http:\/\/[\w.:]+)/).catch(async error => {
    await dispose()
    throw error
  })
  return { url, stop: program.stop, [Symbol.asyncDispose]: dispose }
}

interface Line {
  refused?: { reason: string; hash?: string; kid?: string; issuer?: string }
  id: string
  path: string
  user: string | null
  status: number
  ms: number
}

const secrets: string[] = []
/** A unique text: if the log contains it, the log contains input. */
const secret = (kind: string) => {
  const text = `${kind}-${crypto.randomUUID()}`
  secrets.push(text)
  return text
}

let server: Awaited<ReturnType<typeof startProcess>>
/** The expected log lines of the requests, in order. */
const expected: Pick<Line, 'id' | 'path' | 'user' | 'status'>[] = []
let user: string | null = null

async function request(path: string, logged: string, sent: Sent = {}): Promise<Response> {
  const headers: [string, string][] = [...(sent.headers ?? []), ['referer', `http://x/${secret('referer')}`]]
  const response = await send(server.url, path, { ...sent, headers })
  const id = response.headers.get('x-request-id') ?? ''
  expected.push({ id, path: logged, user: null, status: response.status })
  return response
}

async function as(token: string, path: string, logged: string, sent: Sent = {}): Promise<Response> {
  const cookie: [string, string] = ['cookie', `session=${secret('cookie')}`]
  const response = await request(path, logged, {
    ...sent,
    headers: [bearer(token), cookie, ...(sent.headers ?? [])],
  })
  Object.assign(expected.at(-1) ?? {}, { user })
  return response
}

async function atIssuer(path: string, value?: object, headers: [string, string][] = []) {
  const sent = value === undefined ? { headers: [] } : json(value)
  const origin: [string, string] = ['origin', server.url]
  return request(path, '/api/auth/*', { ...sent, headers: [origin, ...headers, ...sent.headers] })
}

/** Signs a user up and returns the token. */
async function signUp(): Promise<string> {
  const person = {
    name: secret('name'),
    email: `${secret('mail')}@example.com`,
    password: secret('password'),
  }
  const answer = await atIssuer('/api/auth/sign-up/email', person)
  const cookies = answer.headers.getSetCookie().map(cookie => cookie.split(';')[0] ?? '')
  secrets.push(...cookies.map(cookie => decodeURIComponent(cookie.split('=')[1] ?? '').slice(0, 32)))
  const given = await atIssuer('/api/auth/token', undefined, [['cookie', cookies.join('; ')]])
  const { token } = JSON.parse(await given.text())
  secrets.push(token, ...token.split('.').slice(1))

  await atIssuer('/api/auth/sign-up/email', person)
  await atIssuer('/api/auth/sign-in/email', { email: person.email, password: secret('password') })
  await atIssuer('/api/auth/sign-in/email', { ...person, email: `${secret('mail')}@example.com` })
  await atIssuer('/api/auth/sign-in/email', {
    ...person,
    callbackURL: `https://evil.example/${secret('url')}`,
  })
  await atIssuer('/api/auth/sign-up/email', {
    ...person,
    email: secret('mail'),
    name: `\u0000${secret('name')}`,
  })
  await atIssuer('/api/auth/sign-up/email', {
    ...person,
    email: `${secret('mail')}@example.com`,
    name: '\u0000',
  })
  await atIssuer(`/api/auth/reset-password/${secret('reset')}?callbackURL=/${secret('url')}`)
  await atIssuer(`/api/auth/verify-email?token=${secret('token')}`)
  await atIssuer(`/api/auth/${secret('path')}`)
  return token
}

const text = (body: string): Required<Sent> => ({
  ...json({}),
  headers: [['content-type', 'application/json']],
  body,
})

async function callApi(token: string) {
  const me = await send(server.url, '/trpc/me', { headers: [bearer(token)] })
  user = JSON.parse(await me.text()).result.data.json.id
  expected.push({ id: me.headers.get('x-request-id') ?? '', path: '/trpc/me', user, status: 200 })

  const task = { title: secret('title'), notes: secret('notes') }
  const list = encodeURIComponent(JSON.stringify({ json: { search: secret('search') } }))
  const wrong = encodeURIComponent(JSON.stringify({ json: { id: secret('id') } }))
  await as(token, '/trpc/tasks.create', '/trpc/tasks.create', json({ json: task }))
  await as(token, `/trpc/tasks.list?input=${list}`, '/trpc/tasks.list')
  await as(token, `/trpc/tasks.get?input=${wrong}`, '/trpc/tasks.get')
  await as(token, '/trpc/tasks.create', '/trpc/tasks.create', json({ [secret('key')]: secret('value') }))
  await as(token, '/trpc/tasks.create', '/trpc/tasks.create', text(`{{${secret('json')}`))
  await as(token, `/trpc/health,me,${token}?batch=1&input=%7B%7D`, '/trpc/health,me,unknown')
}

/** The token with another well-formed signature. */
const flipped = (signature: string) => (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1)

async function callBadly(token: string) {
  await request(`/trpc/me?token=${token}`, '/trpc/me')
  await request(`/trpc/${token}`, '/trpc/unknown')
  await request(`/trpc/health/${token}`, '/trpc/unknown')
  await request(`/${token}`, '(unknown)')
  await request(`/?token=${token}`, '/')
  await request('/trpc/me', '/trpc/me', { headers: [['authorization', `Basic ${secret('basic')}`]] })
  await request('/trpc/me', '/trpc/me', { headers: [bearer(`${token}${secret('forged')}`)] })
  await request('/trpc/me', '/trpc/me', {
    headers: [bearer(token.replace(/[^.]+$/, signed => flipped(signed)))],
  })
  await request('/trpc/me', '/trpc/me', { headers: [['x-request-id', secret('id').padEnd(65, 'x')]] })
  await request('/trpc/health', '/trpc/*', { headers: [['host', `${secret('host')}.example`]] })
  await request('/trpc/me', '/trpc/unknown', { method: 'PUT', body: secret('body') })
  await request('/trpc/me', '/trpc/unknown', { ...text('{}'), headers: [['content-type', secret('type')]] })
  for (const origin of ['https://other.example', 'https://other.example', server.url]) {
    const headers: [string, string][] = [['origin', origin]]
    await request('/trpc/me', '/trpc/*', { method: 'OPTIONS', headers })
  }
}

describe('the log of a server after good and bad requests', () => {
  let end: { code: number | null; stdout: string; stderr: string }
  let lines: Line[]
  beforeAll(async () => {
    server = await startProcess()
    const token = await signUp()
    await callApi(token)
    await callBadly(token)
    end = await server.stop('SIGTERM')
    lines = end.stdout
      .split('\n')
      .filter(line => line.startsWith('{'))
      .map(line => JSON.parse(line))
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test('contains no tokens, cookies, passwords, addresses or inputs', () => {
    expect(secrets.length).toBeGreaterThan(40)
    const said = end.stdout + end.stderr
    expect(secrets.filter(text => said.includes(text))).toEqual([])
  })

  test('has one line for each request: its id, path, user, status and duration', () => {
    const ids = new Set(expected.map(({ id }) => id))
    // Lines with other ids are the server's own requests for the keys.
    const own = lines.filter(({ id }) => ids.has(id))
    expect(own.map(({ id, path, user, status }) => ({ id, path, user, status }))).toEqual(expected)
    expect(own.map(({ ms }) => Number.isFinite(ms) && ms > 0)).toEqual(expected.map(() => true))
  })

  test('contains the reason, key and issuer of a refused token, but no token', () => {
    const refusals = lines.flatMap(({ refused }) => refused ?? [])
    const hash = expect.stringMatching(/^[\da-f]{16}$/)
    expect(refusals).toEqual([
      { reason: 'malformed' },
      { reason: 'malformed', hash, kid: null, issuer: null },
      { reason: 'signature', hash, kid: expect.any(String), issuer: server.url },
    ])
  })

  test('is JSON after the welcome text', () => {
    const [, rest = ''] = end.stdout.split(/^Call the API with it:\n.*\n/m)
    expect(rest).toContain('{')
    expect(rest.split('\n').filter(line => line !== '' && !line.startsWith('{'))).toEqual([])
    expect(end.stderr).toBe('')
  })

  test('names a page of another origin, once', () => {
    const warnings = end.stdout.split('\n').filter(line => line.includes('CORS_ORIGINS'))
    expect(warnings.map(line => JSON.parse(line).origin)).toEqual(['https://other.example'])
  })

  test('ends with exit code 0 on SIGTERM', () => {
    expect(end.code).toBe(0)
  })
})
