import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { openDatabase } from '../../db/index.js'
import { serializeError } from '../../server/http/serialize-error.js'
import { createNodeHandler, createVerifier, type RequestReport, type TokenError } from '../../server/index.js'
import { printable } from '../../shared/text.js'
import { here, key, startClockedVerifier } from '../parts/clocked-verifier.js'
import { bad, escaped, seen, text } from '../parts/control-characters.js'
import { nowhere } from '../parts/database.js'
import { bearer, send } from '../parts/http-client.js'
import { claimsFrom } from '../parts/issuer.js'
import { listen } from '../parts/listen.js'

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
