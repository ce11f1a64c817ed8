import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { openDatabase } from '../../db/index.js'
import { serializeError } from '../../server/http/serialize-error.js'
import { createNodeHandler, createVerifier, type RequestReport, type TokenError } from '../../server/index.js'
import { printable } from '../../shared/text.js'
import { here, key, startClockedVerifier } from '../parts/clocked-verifier.js'
import { nowhere } from '../parts/database.js'
import { bearer, send } from '../parts/http-client.js'
import { claimsFrom, makeKey, startIssuer } from '../parts/issuer.js'
import { listen } from '../parts/listen.js'
import { builtServer, startProgram } from '../parts/program.js'

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => String.fromCharCode(first + index))

/** Characters that move the cursor, reverse the text, end a line or are invisible. */
const bad = [
  ...range(0x00, 0x1f),
  ...range(0x7f, 0x9f),
  ...['\u00ad', '\u034f', '\u061c', '\u115f', '\u1160', '\u17b4', '\u180e', '\u3164', '\ufe0f', '\uffa0'],
  ...range(0x200b, 0x200f),
  ...range(0x2028, 0x202e),
  ...range(0x2060, 0x206f),
  ...['\ufeff', '\ufff9', '\ufffa', '\ufffb', '\ud800', '\udbff', '\udc00', '\udfff'],
]
const text = `a${bad.join('a')}z`
/** A line feed is allowed: it ends the lines of JSON logs. */
const seen = new RegExp(
  `[${bad
    .filter(one => one !== '\n')
    .map(escaped)
    .join('')}]`,
  'u',
)

function escaped(character: string): string {
  return Array.from(
    { length: character.length },
    (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
  ).join('')
}

test.each(bad.map(character => [escaped(character), character]))('%s is escaped', (name, character) => {
  expect(printable(`a${character}b`)).toBe(`a${name}b`)
})

test('both surrogates of an invisible character are escaped', () => {
  expect(printable('a\u{e0041}b')).toBe('a\\udb40\\udc41b')
})

test('visible characters of every script are unchanged', () => {
  const plain = ' ~"\\\'\u00a0€ 👍🏽\u{1f469}'
  expect(printable(plain)).toBe(plain)
})

/** What a verifier reports of a refused token. */
async function toldOf(token: Promise<string>, options: object = {}) {
  const verifier = createVerifier({ issuer: here, audience: here, keys: [key.jwk], ...options })
  const refusal: TokenError = await verifier.verify(await token).catch(error => error)
  expect(refusal.name).toBe('TokenError')
  return refusal.token
}

test('the kid of a token is cut to 64 characters, then escaped', async () => {
  const kid = '\u202ea'.repeat(40)
  const told = await toldOf(key.sign(claimsFrom(here), { kid }))
  expect(told?.kid).toBe('\\u202ea'.repeat(32))
  const cut = await toldOf(key.sign(claimsFrom(here), { kid: `${'a'.repeat(63)}👍` }))
  expect(cut?.kid).toBe(`${'a'.repeat(63)}\\ud83d`)
})

test.each(bad.filter(one => one.isWellFormed()))('a kid with %j in it is escaped', async character => {
  const told = await toldOf(key.sign(claimsFrom(here), { kid: `a${character}b` }))
  expect(told?.kid).toBe(`a${escaped(character)}b`)
})

test('the name of a refused claim is escaped and cut', async () => {
  const user = z.record(z.string(), z.string().or(z.number())).transform(() => ({ id: 'alice' }))
  const told = await toldOf(key.sign(claimsFrom(here, { [`\u202e\n${'a'.repeat(100)}`]: true })), { user })
  expect(told?.claim).toBe(`\\u202e\\u000a${'a'.repeat(62)}`)
})

test("the class name of a hook's error is escaped", async () => {
  const user = () => {
    throw Object.defineProperty(new Error(), 'constructor', { value: { name: '\u202eError' } })
  }
  const told = await toldOf(key.sign(claimsFrom(here)), { user })
  expect(told?.hint).toBe('The user option has thrown (\\u202eError).')
})

test('the configured issuer is escaped, in hints too', async () => {
  const issuer = 'them\u202e'
  const options = { issuer, audience: here }
  expect(await toldOf(key.sign(claimsFrom(issuer, { aud: 'others' })), options)).toMatchObject({
    issuer: 'them\\u202e',
  })
  expect(await toldOf(key.sign(claimsFrom(`${issuer}/`)), options)).toMatchObject({
    hint: expect.stringContaining('Its iss differs from them\\u202e only'),
  })
})

test('metadata is escaped in the problem and in its error', async () => {
  const told: [string, unknown][] = []
  const { state, verifier } = startClockedVerifier({
    discover: true,
    onProblem: (problem, error) => void told.push([problem, error]),
  })
  state.answer = async () => Response.json({ issuer: text })
  const refusal = await verifier.ready().catch(error => error)
  expect(told).toHaveLength(1)
  expect(told[0]?.[0]).toContain('\\u202e')
  expect(told[0]?.[0]).not.toMatch(seen)
  expect(JSON.stringify([told[0], serializeError(told[0]?.[1]), serializeError(refusal)])).not.toMatch(seen)
})

test('serialized errors contain none of them except line feeds', () => {
  const inner = new Error(text)
  const [outer, cause] = serializeError(new Error(`a\u202eb\nc`, { cause: inner }))
  expect(outer).toMatchObject({
    message: 'a\\u202eb\nc',
    stack: expect.stringMatching(/^Error: a\\u202eb\nc\n/),
  })
  expect(cause?.message).toContain('a\\u202ea')
  expect(JSON.stringify([outer, cause])).not.toMatch(seen)
  expect(serializeError('\u202e')).toEqual([{ message: '\\u202e' }])
})

const throwing = () => {
  throw new Error('x')
}
const oddErrors: [what: string, error: unknown][] = [
  ...['message', 'stack', 'name', 'code', 'advice', 'cause'].flatMap(name =>
    [5, null, ['a'], Symbol('a'), { toString: throwing }].map((value): [string, unknown] => [
      `an error whose ${name} is ${typeof value === 'symbol' ? 'a symbol' : JSON.stringify(value)}`,
      Object.defineProperty(new Error('x'), name, { value }),
    ]),
  ),
  ['an error whose message throws', Object.defineProperty(new Error(), 'message', { get: throwing })],
  ['an error whose cause throws', Object.defineProperty(new Error(), 'cause', { get: throwing })],
  ['a Proxy', new Proxy(new Error(), { get: throwing, getPrototypeOf: throwing, has: throwing })],
  ['an object without a prototype', Object.create(null)],
]

test.each(oddErrors)('%s is serialized as text', (_, error) => {
  const [first] = serializeError(error)
  expect(first?.message).toEqual(expect.any(String))
  expect(JSON.stringify(first)).toContain('message')
})

test('the type, the code and the advice of an error are escaped too', () => {
  const error = Object.assign(new Error('x'), { name: 'E\u202e', code: 'C\u001b', advice: 'A\u202e' })
  expect(serializeError(error)).toMatchObject([{ type: 'E\\u202e', code: 'C\\u001b', advice: 'A\\u202e' }])
  expect(serializeError(Object.assign(error, { code: 7 }))).toMatchObject([{ code: 7 }])
})

test('texts of an error are cut to 10,000 characters', () => {
  expect(serializeError(new Error('a'.repeat(20_000)))[0]?.message).toBe('a'.repeat(10_000))
  expect(serializeError(new Error('\u202e'.repeat(20_000)))[0]?.message).toBe('\\u202e'.repeat(10_000))
})

test('a failure names only procedures of the router', async () => {
  const failures: (string | undefined)[] = []
  const answers: RequestReport[] = []
  // The pool connects on demand, so nothing connects here.
  const database = await openDatabase({ url: nowhere })
  const handler = createNodeHandler({
    verifier: {
      verify() {
        throw new Error('This is nobody’s fault.')
      },
    },
    database,
    onError: ({ procedure }) => void failures.push(procedure),
    onAnswer: answer => void answers.push(answer),
  })
  await using host = await listen(createServer(handler))
  const headers = [bearer('a.b.c')]
  await send(host.url, '/trpc/%E2%80%AEme', { headers })
  await send(host.url, '/trpc/me,%0A,health?batch=1', { headers })
  await send(host.url, '/trpc/me', { headers })
  await database.close()
  expect(answers).toHaveLength(3)
  expect(failures.filter(name => name !== undefined && !['me', 'health', 'unknown'].includes(name))).toEqual(
    [],
  )
})

test('the log of the server contains none of them, whatever a token contains', {
  timeout: 60_000,
}, async () => {
  await using issuer = await startIssuer()
  const env = { PORT: '0', LOG_LEVEL: 'info', BETTER_AUTH_URL: issuer.url, DATABASE_URL: nowhere }
  await using server = startProgram(process.execPath, [builtServer], { env })
  const [, url = ''] = await server.waitForOutput(/"url":"(http:[^"]+)"/)
  const stranger = await makeKey()
  const storable = text.replaceAll('\0', '').toWellFormed()
  const tokens = [
    await issuer.tokenFor(storable.slice(0, 200)),
    ...(await Promise.all(
      bad
        .filter(one => one.isWellFormed())
        .map(one => issuer.tokenFor('alice', { header: { kid: `a${one}b` } })),
    )),
    await stranger.sign(claimsFrom(text), { kid: text.toWellFormed() }),
  ]
  for (const token of tokens) {
    await send(url, '/trpc/me', { headers: [bearer(token), ['x-request-id', 'a\u0085b']] })
    await send(url, '/trpc/%E2%80%AE%C2%85', { headers: [bearer(token)] })
    await send(url, '/%E2%80%AE%C2%85%0A')
  }
  const { stdout, stderr } = await server.stop('SIGTERM')
  const lines = stdout.split('\n').filter(line => line.startsWith('{'))
  const users = lines.map(line => JSON.parse(line).user).filter(user => typeof user === 'string')
  const kids = lines.map(line => JSON.parse(line).refused?.kid)
  expect(users[0]).toMatch(/^aa\\u0001a\\u0002a/)
  expect(kids).toEqual(expect.arrayContaining(['a\\u000ab', 'a\\u0085b', 'a\\u202eb']))
  expect(lines.filter(line => seen.test(line))).toEqual([])
  expect(seen.test(stdout + stderr)).toBe(false)
})
