import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { expect } from 'vitest'
import { type Key, makeKey } from '../../parts/issuer.js'
import { startWeb } from '../../parts/listen.js'
import { type Answer, type Cases, casesOf, startScenario } from './issuer-scenario.js'

/** Maximum size of an answer in bytes. */
export const maxBytes = 256 * 1024

const status =
  (code: number, headers = {}): Answer =>
  (response, keys) =>
    response.writeHead(code, headers).end(keys)
const body =
  (text: string | Buffer, headers = {}): Answer =>
  response =>
    response.writeHead(200, headers).end(text)
const json = (value: unknown): Answer => body(JSON.stringify(value))
const keySet = (change: (list: Record<string, unknown>[]) => unknown): Answer => {
  return (response, keys) => response.end(JSON.stringify({ keys: change(JSON.parse(keys).keys) }))
}
/** Sends the keys and then destroys the connection. */
const broken =
  (length?: number): Answer =>
  (response, keys) => {
    if (length !== undefined) response.writeHead(200, { 'content-length': keys.length + length })
    response.write(keys, () => response.destroy())
  }

/** Publishes a private member with the last key. */
const secretValue = 'c2VjcmV0LW9mLXRoZS1vd25lcg'
const withPrivate = (member: string, key: object = {}) =>
  keySet(list => [...list, { ...list.at(-1), kid: 'private', ...key, [member]: secretValue }])
const rsa = { kty: 'RSA', n: 'AQAB', e: 'AQAB' }

/** A list of this many keys, with the good ones in it. */
const many = (length: number) =>
  keySet(list => [...list, ...Array.from({ length: length - list.length }, () => ({ kty: 'AKP' }))])
/** An answer of this many bytes, with a character of two bytes. */
const long = (bytes: number): Answer => {
  return (response, keys) => {
    const start = `${keys.slice(0, -1)},"":"é`
    response.end(`${start.padEnd(bytes - 3)}"}`)
  }
}

const bad: Record<string, [lastError: string, answer: Answer, also?: string]> = {
  'status 201': ['status_201', status(201)],
  'status 204': ['status_204', response => response.writeHead(204).end()],
  'status 206': ['status_206', status(206)],
  'status 304': ['status_304', response => response.writeHead(304).end()],
  'status 401': ['status_401', status(401)],
  'status 404': ['status_404', status(404)],
  'status 429': ['status_429', status(429)],
  'status 500': ['status_500', status(500)],
  'status 503': ['status_503', status(503)],
  'no body': ['invalid', body('')],
  'a page': ['invalid', body('<h1>Maintenance</h1>', { 'content-type': 'text/html' })],
  'text that is no JSON': ['invalid', body('keys')],
  'half of a JSON text': ['invalid', (response, keys) => response.end(keys.slice(0, -2))],
  'two JSON texts': ['invalid', (response, keys) => response.end(keys + keys)],
  'text in UTF-16': ['invalid', (response, keys) => response.end(Buffer.from(keys, 'utf16le'))],
  'null in place of a set': ['invalid', json(null)],
  'a list in place of a set': [
    'invalid',
    (response, keys) => response.end(JSON.stringify(JSON.parse(keys).keys)),
  ],
  'a set without keys': ['invalid', json({})],
  'keys that are null': ['invalid', json({ keys: null })],
  'keys that are text': ['invalid', json({ keys: 'none' })],
  'keys that are a set of their own': ['invalid', keySet(list => ({ ...list }))],
  'an empty set': ['no_keys', json({ keys: [] })],
  'a set of nulls': ['invalid', json({ keys: [null, [], 1, 'a', {}] })],
  'a set with no key that we know': ['invalid', keySet(list => list.map(key => ({ ...key, kty: 'AKP' })))],
  'a set with keys for encrypting alone': [
    'invalid',
    keySet(list => list.map(key => ({ ...key, use: 'enc' }))),
  ],
  'a set of 101 keys': ['invalid', many(101)],
  'a set of a byte more than 256 kB': ['invalid', long(maxBytes + 1)],
  'a set that is more than 256 kB unpacked': [
    'invalid',
    (response, keys) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(keys + ' '.repeat(maxBytes))),
  ],
  'a body that is not packed as it says': ['unreachable', status(200, { 'content-encoding': 'gzip' })],
  'a whole set of which more was promised': ['unreachable', broken(10)],
  'a whole set in an answer that does not end': ['unreachable', broken()],
  'a connection that breaks': ['unreachable', response => response.destroy()],
  'what is not HTTP': ['unreachable', response => response.socket?.end('220 smtp.example.com ESMTP\r\n')],
  'a key with its d': ['invalid', withPrivate('d'), 'private key'],
  'a key with its d that is for encrypting': ['invalid', withPrivate('d', { use: 'enc' }), 'private key'],
  ...Object.fromEntries(
    ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth'].map(member => [
      `a key of RSA with its ${member}`,
      ['invalid', withPrivate(member, rsa), 'private key'] as [string, Answer, string],
    ]),
  ),
  'a key on a curve that we do not know with its d': [
    'invalid',
    withPrivate('d', { kty: 'EC', crv: 'P-384' }),
    'private key',
  ],
}

/** An hour of a bad answer: its new key is not accepted, and callers with a known key are served. */
export const badAnswers: Cases = casesOf(
  bad,
  ([lastError, answer, also = '']) =>
    async make => {
      await using scene = await startScenario(make)
      const { state, verifier, outcome, sign, pass } = scene
      const fresh = await makeKey()
      const token = await sign(fresh)
      await scene.call()
      state.keys.push(fresh.jwk)
      state.answer = answer
      expect(await outcome(token)).toBe('keys_unavailable')
      await pass(3_600, 150)
      expect(verifier.status()).toEqual({ keys: 1, age: 3_600, lastError })
      expect(scene.problems.map(({ text }) => text)).toEqual([expect.stringContaining(also)])
      expectNoMaterial(scene.problems, fresh, scene.key)
      state.answer = scene.answerWell
      await pass(3_660)
      expect(await outcome(token)).toBe('accepted')
      expect(verifier.status()).toEqual({ keys: 2, age: expect.any(Number), lastError: null })
      scene.expectAllServed()
    },
  row => `an hour of ${row} in place of the keys changes nothing, and is told once`,
)

function expectNoMaterial(problems: readonly unknown[], ...keys: Key[]) {
  const told = inspect(problems, { depth: 20, maxStringLength: null })
  for (const secret of [secretValue, ...keys.flatMap(({ jwk, kid }) => [kid, String(jwk.x)])])
    expect(told).not.toContain(secret)
}

/** Nested deeper than a recursive parser can go. */
const deep = '['.repeat(20_000) + ']'.repeat(20_000)

const good: Record<string, Answer> = {
  'with a byte order mark': (response, keys) => response.end(`\uFEFF${keys}`),
  'called a page': (response, keys) => response.writeHead(200, { 'content-type': 'text/html' }).end(keys),
  'called nothing': (response, keys) => response.writeHead(200).end(keys),
  packed: (response, keys) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(keys)),
  'in pieces': (response, keys) => {
    for (const byte of Buffer.from(keys)) response.write(Buffer.of(byte))
    response.end()
  },
  'of 100 keys': many(100),
  'of 256 kB': long(maxBytes),
  'with other members': (response, keys) => response.end(`{"a":null,"keys":null,${keys.slice(1)}`),
  'with what is no key in it': keySet(list => [null, 1, 'a', [], {}, ...list]),
  'with a key of a coming kind that has a d, a p and a q': keySet(list => [
    ...list,
    { kty: 'AKP', kid: 'coming', d: 'AQAB', p: 'AQAB', q: 'AQAB', priv: 'AQAB' },
  ]),
  'with a key whose member is deep': (response, keys) =>
    response.end(keys.replace('[', `[{"kty":"RSA","kid":"deep","n":${deep},"e":"AQAB"},`)),
  'with a key whose members are all deep': (response, keys) =>
    response.end(
      keys.replace(
        '[',
        `[${['kty', 'kid', 'use', 'key_ops', 'alg', 'ext'].map(name => `{"kty":"OKP","crv":"Ed25519","x":"AQAB","${name}":${deep}},`).join('')}`,
      ),
    ),
  'with two keys under one kid': keySet(list => list.flatMap(key => [{ ...list[0], kid: key.kid }, key])),
  'with each key twice': keySet(list => [...list, ...list]),
}

export const goodAnswers: Cases = casesOf(
  good,
  answer => async make => {
    await using scene = await startScenario(make)
    const fresh = await makeKey()
    await scene.call()
    scene.state.keys.push(fresh.jwk)
    scene.state.answer = answer
    expect(await scene.outcome(await scene.sign(fresh))).toBe('accepted')
    expect(scene.problems).toEqual([])
    scene.expectAllServed()
  },
  row => `a set ${row} is a good one`,
)

/** The other host publishes keys of an attacker. */
export const redirects: Cases = casesOf(
  { 301: 301, 302: 302, 303: 303, 307: 307, 308: 308 },
  code => async make => {
    const forger = await makeKey()
    await using other = await startWeb((_, response) => response.end(JSON.stringify({ keys: [forger.jwk] })))
    await using scene = await startScenario(make)
    await scene.call()
    scene.state.answer = response => response.writeHead(code, { location: other.url }).end()
    expect(await scene.outcome(await scene.sign(forger))).toBe('keys_unavailable')
    await scene.pass(3_600, 150)
    expect(other.requests()).toBe(0)
    expect(scene.verifier.status().lastError).toBe(`status_${code}`)
    expect(scene.problems).toHaveLength(1)
    scene.expectAllServed()
  },
  row => `a redirect (${row}) is not followed`,
)
