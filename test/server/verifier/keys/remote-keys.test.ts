import type { RequestListener } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { createVerifier } from '../../../../server/index.js'
import { claimsFrom, makeKey, startIssuer } from '../../../parts/issuer.js'
import { startWeb } from '../../../parts/listen.js'

/** Seconds by which the verifiers' clock is ahead. */
let ahead = 0
afterEach(() => {
  ahead = 0
})

const verifierFor = ({ url }: { url: string }) =>
  createVerifier({ issuer: url, audience: url, now: () => Date.now() + ahead * 1000, onProblem() {} })
/** After one failure the issuer is asked again a second later. */
const afterBackOff = () => {
  ahead += 1
}
const because = (reason: string) => ({ name: 'TokenError', reason })

test('the keys are fetched once for many simultaneous tokens', async () => {
  const key = await makeKey()
  await using issuer = await startIssuer({ keys: [key] })
  const verifier = verifierFor(issuer)
  const token = await key.sign(issuer.claims())
  await Promise.all(Array.from({ length: 20 }, () => verifier.verify(token)))
  expect(issuer.requests()).toBe(1)
})

test.each(['1', 'key one', '', '__proto__', 'a'.repeat(300)])('a kid may be any string: %s', async kid => {
  const key = await makeKey('EdDSA', kid)
  await using issuer = await startIssuer({ keys: [await makeKey(), key] })
  expect(await verifierFor(issuer).verify(await key.sign(issuer.claims()))).toEqual({ id: 'alice' })
})

test('a new kid is accepted on its first request', async () => {
  const [old, fresh] = await Promise.all([makeKey('ES256'), makeKey('EdDSA')])
  await using issuer = await startIssuer({ keys: [old] })
  const verifier = verifierFor(issuer)
  await verifier.verify(await old.sign(issuer.claims()))
  issuer.keys.push(fresh)
  expect(await verifier.verify(await fresh.sign(issuer.claims({ sub: 'bob' })))).toEqual({ id: 'bob' })
})

test('a new kid is accepted while an older fetch is still running', async () => {
  const [old, fresh, unknown] = await Promise.all([makeKey(), makeKey(), makeKey()])
  const keys = [old.jwk]
  let hold: ((letGo: () => void) => void) | null = null
  await using web = await startWeb((_, res) => {
    const answer = JSON.stringify({ keys })
    if (hold === null) res.end(answer)
    else hold(() => res.end(answer))
  })
  const verifier = verifierFor(web)
  await verifier.verify(await old.sign(claimsFrom(web.url)))
  const asked = new Promise<() => void>(done => {
    hold = done
  })
  const unknownToken = await unknown.sign(claimsFrom(web.url))
  const refused = expect(verifier.verify(unknownToken)).rejects.toMatchObject(because('unknown_key'))
  const letGo = await asked
  hold = null
  keys.push(fresh.jwk)
  const freshToken = await fresh.sign(claimsFrom(web.url))
  const accepted = expect(verifier.verify(freshToken)).resolves.toEqual({ id: 'alice' })
  letGo()
  await Promise.all([refused, accepted])
})

test('a kid that the issuer does not have is unknown', async () => {
  const [key, unknown] = await Promise.all([makeKey(), makeKey()])
  await using issuer = await startIssuer({ keys: [key] })
  const verifier = verifierFor(issuer)
  await verifier.verify(await key.sign(issuer.claims()))
  const before = issuer.requests()
  await expect(verifier.verify(await unknown.sign(issuer.claims()))).rejects.toMatchObject(
    because('unknown_key'),
  )
  expect(issuer.requests()).toBeGreaterThan(before)
})

test('an issuer without keys is an outage until it has one', async () => {
  const key = await makeKey()
  await using issuer = await startIssuer({ keys: [] })
  const verifier = verifierFor(issuer)
  const token = await key.sign(issuer.claims())
  for (let n = 0; n < 3; n++)
    await expect(verifier.verify(token)).rejects.toMatchObject({ reason: 'keys_unavailable', retryAfter: 1 })
  await expect(verifier.ready()).rejects.toMatchObject(because('keys_unavailable'))
  issuer.keys.push(key)
  expect(await verifier.verify(token)).toEqual({ id: 'alice' })
})

test('keys of other uses and types are skipped', async () => {
  const [key, encrypting] = await Promise.all([makeKey(), makeKey('ES256')])
  const jwks = [
    { kty: 'oct', k: 'AAAA', kid: 'a' },
    { kty: 'LWE' },
    { ...encrypting.jwk, use: 'enc' },
    key.jwk,
  ]
  await using web = await startWeb((_, res) => res.end(JSON.stringify({ keys: jwks })))
  const verifier = verifierFor(web)
  expect(await verifier.verify(await key.sign(claimsFrom(web.url)))).toEqual({ id: 'alice' })
  await expect(verifier.verify(await encrypting.sign(claimsFrom(web.url)))).rejects.toMatchObject(
    because('unknown_key'),
  )
})

test('the keys of an unreachable issuer are unavailable until it is reachable', async () => {
  const key = await makeKey()
  const web = await startWeb((_, res) => res.end())
  await web.close()
  const verifier = verifierFor(web)
  const token = await key.sign(claimsFrom(web.url))
  await expect(verifier.verify(token)).rejects.toMatchObject(because('keys_unavailable'))
  await expect(verifier.ready()).rejects.toMatchObject(because('keys_unavailable'))
  await using _ = await startWeb((_, res) => res.end(JSON.stringify({ keys: [key.jwk] })), web.port)
  afterBackOff()
  expect(await verifier.verify(token)).toEqual({ id: 'alice' })
})

const bad: [what: string, listener: RequestListener][] = [
  ['a 500', (_, res) => res.writeHead(500).end('{"keys":[]}')],
  ['a 404', (_, res) => res.writeHead(404).end()],
  ['a 429', (_, res) => res.writeHead(429).end('Too many requests')],
  ['a redirect', (_, res) => res.writeHead(302, { location: 'https://example.com/' }).end()],
  ['a page', (_, res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Maintenance</h1>')],
  ['an empty body', (_, res) => res.end()],
  ['null', (_, res) => res.end('null')],
  ['a list', (_, res) => res.end('[]')],
  ['JSON without keys', (_, res) => res.end('{"message":"Not found"}')],
  ['keys that are a string', (_, res) => res.end('{"keys":"none"}')],
  ['keys that we cannot use', (_, res) => res.end('{"keys":[{"kty":"AKP"}]}')],
  [
    'half an answer',
    (_, res) => res.writeHead(200, { 'content-length': 100 }).write('{"keys"', () => res.destroy()),
  ],
  ['a connection that breaks', req => req.socket.destroy()],
]

test.each(bad)(
  'if the issuer answers with %s, its keys are unavailable, and found a second later',
  async (_, listener) => {
    const key = await makeKey()
    let answers = listener
    await using web = await startWeb((req, res) => answers(req, res))
    const verifier = verifierFor(web)
    const token = await key.sign(claimsFrom(web.url))
    await expect(verifier.verify(token)).rejects.toMatchObject(because('keys_unavailable'))
    answers = (_, res) => res.end(JSON.stringify({ keys: [key.jwk] }))
    afterBackOff()
    expect(await verifier.verify(token)).toEqual({ id: 'alice' })
  },
)

test.each(bad)(
  '%s instead of a new key is an outage for its token, and does not affect a known key',
  async (_, listener) => {
    const [known, fresh] = await Promise.all([makeKey(), makeKey()])
    const keys = [known.jwk]
    const good: RequestListener = (_, res) => res.end(JSON.stringify({ keys }))
    let answers = good
    await using web = await startWeb((req, res) => answers(req, res))
    const verifier = verifierFor(web)
    const tokens = await Promise.all([known, fresh].map(key => key.sign(claimsFrom(web.url))))
    const [old = '', young = ''] = tokens
    await verifier.verify(old)
    keys.push(fresh.jwk)
    answers = listener
    await expect(verifier.verify(young)).rejects.toMatchObject(because('keys_unavailable'))
    expect(await verifier.verify(old)).toEqual({ id: 'alice' })
    answers = good
    afterBackOff()
    expect(await verifier.verify(young)).toEqual({ id: 'alice' })
  },
)

if (process.env.LONG_TESTS) {
  test('an issuer that never answers is an outage after a time limit', async () => {
    await using web = await startWeb(() => {})
    const token = await (await makeKey()).sign(claimsFrom(web.url))
    await expect(verifierFor(web).verify(token)).rejects.toMatchObject(because('keys_unavailable'))
  })
}

test('an answer without keys has no age', async () => {
  await using web = await startWeb((_, res) => res.end('<h1>Maintenance</h1>'))
  const verifier = verifierFor(web)
  await expect(verifier.ready()).rejects.toMatchObject(because('keys_unavailable'))
  expect(verifier.status()).toEqual({ keys: 0, age: null, lastError: 'invalid' })
})

test('ready fetches the keys once, and status describes them', async () => {
  await using issuer = await startIssuer({ keys: [await makeKey(), await makeKey()] })
  const verifier = verifierFor(issuer)
  expect(verifier.status()).toEqual({ keys: 0, age: null, lastError: null })
  await verifier.ready()
  await verifier.ready()
  expect(issuer.requests()).toBe(1)
  expect(verifier.status()).toEqual({ keys: 2, age: expect.any(Number), lastError: null })
})
