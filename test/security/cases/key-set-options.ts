import { expect } from 'vitest'
import { claimsFrom, makeKey } from '../../parts/issuer.js'
import { startWeb } from '../../parts/listen.js'
import { type Cases, casesOf, startScenario } from './issuer-scenario.js'

const caching: Record<string, [headers: Record<string, string>, freshFor: number]> = {
  'nothing said': [{}, 300],
  'no-store': [{ 'cache-control': 'no-store' }, 60],
  'no-cache and an age': [{ 'cache-control': 'no-cache, max-age=900' }, 60],
  'max-age=0': [{ 'cache-control': 'max-age=0' }, 60],
  'max-age=1': [{ 'cache-control': 'max-age=1' }, 60],
  'max-age=600': [{ 'cache-control': 'public, MAX-AGE=600' }, 600],
  'max-age="600"': [{ 'cache-control': 'max-age="600"' }, 600],
  'max-age=600 of which 100 are gone': [{ 'cache-control': 'max-age=600', age: '100' }, 500],
  'max-age=600 of which all are gone': [{ 'cache-control': 'max-age=600', age: '9999' }, 60],
  'max-age=600 and an Age that is no number': [{ 'cache-control': 'max-age=600', age: 'old' }, 600],
  'max-age=999999': [{ 'cache-control': 'max-age=999999' }, 900],
  'a max-age of more digits than a number has': [{ 'cache-control': `max-age=${'9'.repeat(400)}` }, 900],
  'a max-age that is none': [{ 'cache-control': 'max-age=soon' }, 300],
  'a max-age below 0': [{ 'cache-control': 'max-age=-1' }, 300],
  's-maxage alone': [{ 'cache-control': 's-maxage=900' }, 300],
  'Expires alone': [{ expires: 'Thu, 01 Jan 1970 00:00:00 GMT' }, 300],
}

export const cacheControl: Cases = casesOf(
  caching,
  ([headers, freshFor]) =>
    async make => {
      await using scene = await startScenario(make)
      scene.state.answer = (response, keys) => response.writeHead(200, headers).end(keys)
      await scene.call()
      const due = freshFor * 0.8
      await scene.pass(due - 1, due)
      expect(scene.asked).toEqual([0])
      await scene.pass(due)
      expect(scene.asked).toEqual([0, due])
      scene.expectAllServed()
    },
  row => `with ${row} of caching, keys are fresh for between one minute and fifteen`,
)

const mine = await makeKey('ES256')
const keyOf = (change: object) => [{ ...mine.jwk, ...change }]

const given: Record<string, [keys: unknown, outcome: string]> = {
  'a set': [{ keys: keyOf({}) }, 'accepted'],
  'a list': [keyOf({}), 'accepted'],
  'a key for encrypting': [keyOf({ use: 'enc' }), 'TypeError'],
  'no keys': [[], 'TypeError'],
  'a private key': [keyOf({ d: 'AAAA' }), 'TypeError'],
  'a private key of RSA, without d': [[{ kty: 'RSA', n: 'AQAB', e: 'AQAB', p: 'AAAA' }], 'TypeError'],
  'a shared key': [[...keyOf({}), { kty: 'oct', k: 'AAAA' }], 'TypeError'],
  'a set whose keys are no list': [{ keys: { 0: mine.jwk } }, 'TypeError'],
  'an answer that was not read': [{ jwks: [] }, 'TypeError'],
}

export const givenKeys: Cases = casesOf(
  given,
  ([keys, outcome]) =>
    async make => {
      const issuer = 'https://auth.example.com'
      const token = await mine.sign(claimsFrom(issuer))
      const config = JSON.parse(JSON.stringify({ issuer, audience: issuer, keys }))
      const how = await Promise.resolve(config)
        .then(make)
        .then(verifier => verifier.verify(token))
        .then(() => 'accepted')
        .catch(error => error.reason ?? error.name)
      expect(how).toBe(outcome)
    },
  row => `${row}, given as an option`,
)

type Metadata = (here: string, other: string) => object
const metadata: Record<string, [metadata: Metadata, outcome: string]> = {
  'that are right': [here => ({ issuer: here, jwks_uri: `${here}/keys` }), 'accepted'],
  'with the keys on another host': [(here, other) => ({ issuer: here, jwks_uri: other }), 'accepted'],
  'of another issuer': [(_, other) => ({ issuer: other, jwks_uri: other }), 'keys_unavailable'],
  'of the issuer but for a slash': [here => ({ issuer: `${here}/`, jwks_uri: here }), 'keys_unavailable'],
  'of no issuer': [here => ({ jwks_uri: here }), 'keys_unavailable'],
  'of a list of issuers': [here => ({ issuer: [here], jwks_uri: here }), 'keys_unavailable'],
  'without keys': [here => ({ issuer: here }), 'keys_unavailable'],
  'with the keys in it': [here => ({ issuer: here, keys: [mine.jwk] }), 'keys_unavailable'],
  'with keys over plain http': [
    here => ({ issuer: here, jwks_uri: 'http://192.0.2.1/' }),
    'keys_unavailable',
  ],
  'with keys in a file': [here => ({ issuer: here, jwks_uri: 'file:///etc/passwd' }), 'keys_unavailable'],
  'with keys in the URL': [
    here => ({ issuer: here, jwks_uri: `data:application/json,${JSON.stringify({ keys: [mine.jwk] })}` }),
    'keys_unavailable',
  ],
  'with a password for the keys': [
    here => ({ issuer: here, jwks_uri: here.replace('//', '//a:b@') }),
    'keys_unavailable',
  ],
  'with keys at no URL': [here => ({ issuer: here, jwks_uri: '/keys' }), 'keys_unavailable'],
  'that are a list': [() => [], 'keys_unavailable'],
}

const discovered = casesOf(
  metadata,
  ([answer, outcome]) =>
    async make => {
      const keys = JSON.stringify({ keys: [mine.jwk] })
      await using other = await startWeb((_, response) => response.end(keys))
      await using web = await startWeb((request, response) => {
        const isMetadata = request.url === '/.well-known/openid-configuration'
        response.end(isMetadata ? JSON.stringify(answer(web.url, other.url)) : keys)
      })
      const problems: string[] = []
      const verifier = make({
        issuer: web.url,
        audience: web.url,
        discover: true,
        onProblem: problem => void problems.push(problem),
      })
      const token = await mine.sign(claimsFrom(web.url))
      const isGood = outcome === 'accepted'
      const how = await verifier.verify(token).then(
        () => 'accepted',
        error => error.reason,
      )
      expect(how).toBe(outcome)
      expect(problems).toHaveLength(isGood ? 0 : 1)
      expect(web.requests() + other.requests()).toBe(isGood ? 2 : 1)
    },
  row => `metadata ${row}`,
)

export const discovery: Cases = {
  ...discovered,
  'metadata that name another issuer from some day on cost nobody with a known key anything': async make => {
    await using scene = await startScenario(make, { discover: true })
    let issuer = scene.url
    scene.state.answer = (response, keys) =>
      response.req.url === '/keys'
        ? response.end(keys)
        : response.end(JSON.stringify({ issuer, jwks_uri: `${scene.url}/keys` }))
    await scene.call()
    issuer = 'https://elsewhere.example.com'
    const good = scene.state.answer
    scene.state.answer = (response, keys) =>
      response.req.url === '/keys' ? response.writeHead(404).end() : good(response, keys)
    await scene.pass(3_600)
    expect(scene.verifier.status()).toMatchObject({ keys: 1, lastError: 'invalid' })
    scene.expectAllServed()
  },
}
