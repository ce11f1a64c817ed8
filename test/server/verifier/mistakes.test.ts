import { expect, test } from 'vitest'
import { createVerifier, type Verifier } from '../../../server/index.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'

const here = 'https://auth.example.com'
const options = { issuer: here, audience: here }
const key = await makeKey()
const keys = [key.jwk]

test.each<[string, () => unknown]>([
  ['no issuer', () => createVerifier({ ...options, issuer: '' })],
  ['no audience', () => createVerifier({ ...options, audience: '' })],
  // @ts-expect-error an issuer is required
  ['an issuer left out', () => createVerifier({ audience: here, keys })],
  // @ts-expect-error an audience is required
  ['an audience left out', () => createVerifier({ issuer: here })],
  // @ts-expect-error a secret that both sides know is no proof of an issuer
  ['HS256', () => createVerifier({ ...options, algorithms: ['EdDSA', 'HS256'] })],
  // @ts-expect-error an unsigned token is nobody's
  ['none', () => createVerifier({ ...options, algorithms: ['none'] })],
  ['no algorithm', () => createVerifier({ ...options, algorithms: [] })],
  ['an issuer that is no URL, and no jwksUrl', () => createVerifier({ ...options, issuer: 'our issuer' })],
  ['a jwksUrl that is no URL', () => createVerifier({ ...options, jwksUrl: '/api/auth/jwks' })],
  // @ts-expect-error keys are objects
  ['keys that are text', () => createVerifier({ ...options, keys: 'MIIB' })],
  // @ts-expect-error a key set has keys
  ['a key set without keys', () => createVerifier({ ...options, keys: {} })],
  ['a clock tolerance that is no number', () => createVerifier({ ...options, clockTolerance: Number.NaN })],
  ['a clock tolerance below zero', () => createVerifier({ ...options, clockTolerance: -1 })],
  // @ts-expect-error one of two words
  ['another word for refuse', () => createVerifier({ ...options, keys, onRevocationError: 'Refuse' })],
  // @ts-expect-error a list of tokens is no function
  ['a list of revoked tokens', () => createVerifier({ ...options, keys, isRevoked: new Set() })],
])('%s is a TypeError when the verifier is made', (_, make) => {
  expect(make).toThrow(TypeError)
})

test('keys of which reading shows that none can verify are a TypeError of whoever asks', async () => {
  const verifier = createVerifier({ ...options, keys: [{ ...key.jwk, x: 'AAAA' }] })
  const problem = { name: 'TypeError', message: expect.stringContaining('None of the keys can verify') }
  await expect(verifier.ready()).rejects.toMatchObject(problem)
  await expect(verifier.verify(await key.sign(claimsFrom(here)))).rejects.toMatchObject(problem)
})

/** What a clock of whoever writes no TypeScript may give. */
const noTimes: [what: string, time: unknown][] = [
  ['what is no number', Number.NaN],
  ['no end', Number.POSITIVE_INFINITY],
  ['nothing', undefined],
  ['a promise', Promise.resolve(0)],
  ['text', new Date(0).toISOString()],
  ['a Date', new Date(0)],
  ['a bigint', 0n],
]

/** What whoever writes no TypeScript may hand over. */
const mistakes: [what: string, options: unknown, advice: RegExp][] = [
  ['no options', undefined, /needs an issuer and an audience/],
  ['null', null, /needs an issuer and an audience/],
  ['an audience left out', { issuer: here }, /needs an issuer and an audience/],
  ['an empty list of audiences', { issuer: here, audience: [] }, /the one aud/],
  ['a list of audiences', { issuer: here, audience: [here] }, /the one aud/],
  ['an issuer that is a URL object', { issuer: new URL(here), audience: here }, /as text/],
  ['issuers beside an issuer', { ...options, issuers: [options] }, /the issuer within issuers/],
  ['issuers beside keys', { issuers: [options], keys }, /the keys within issuers/],
  ['issuers that are no list', { issuers: options }, /must be a list/],
  ['a nameless one of the issuers', { issuers: [options, {}] }, /needs an issuer and an audience/],
  ['issuers that are left open', { issuers: undefined }, /one or more/],
  ['an issuer twice', { issuers: [options, options] }, /each another/],
  ['no issuers', { issuers: [] }, /one or more/],
  [
    'a user that is neither schema nor function',
    { ...options, user: { id: 'alice' } },
    /must be a zod schema/,
  ],
  ['a user that is text', { ...options, user: 'sub' }, /must be a zod schema or a function/],
  [
    'two issuers and no user',
    {
      issuers: [
        { ...options, keys },
        { ...options, issuer: 'b', keys },
      ],
    },
    /user option/,
  ],
  ['a user that is null', { ...options, user: null }, /must be a zod schema/],
  [
    'keys over http',
    { ...options, jwksUrl: 'http://keys.example.com/a?b=c' },
    /http:\/\/keys\.example\.com\/a\. See/,
  ],
  ['no keys', { ...options, keys: [] }, /None of the keys can verify a token: give public keys for EdDSA/],
  ['a key set without any', { ...options, keys: { keys: [] } }, /None of the keys/],
  ['keys that are null', { ...options, keys: null }, /must be a list of JWKs/],
  ['a key for encrypting', { ...options, keys: [{ ...key.jwk, use: 'enc' }] }, /None of the keys/],
  ['a key of another algorithm', { ...options, keys: [{ ...key.jwk, alg: 'ES256' }] }, /None of the keys/],
  ['an option that is misspelled', { ...options, discovr: true }, /no option discovr: .*discover/],
  ['one within issuers', { issuers: [{ ...options, jwksURL: here }] }, /no option jwksURL: .*jwksUrl/],
  ['a common one within issuers', { issuers: [{ ...options, types: ['JWT'] }] }, /no option types: /],
  ['one of the cache', { ...options, cache: { ttl: 5 } }, /no option ttl: known are maxEntries, maxAge\./],
  ['a cache that is true', { ...options, cache: true }, /The cache must be false, or its bounds/],
  ['a cache that is null', { ...options, cache: null }, /The cache must be false, or its bounds/],
  ['keys in a file', { ...options, jwksUrl: 'file:///etc/keys' }, /a URL of file:\. See allowHttp/],
  ['a jwksUrl that is null', { ...options, jwksUrl: null }, /The jwksUrl must be a URL/],
  ['a key that is null', { ...options, keys: [null] }, /must be a list of JWKs/],
  ['an issuer of several that is null', { issuers: [null] }, /The issuers must be a list/],
  ['a discover that is text', { ...options, discover: 'false' }, /The discover must be true or false/],
  ['an allowHttp that is text', { ...options, allowHttp: 'false' }, /The allowHttp must be true or false/],
  ['an allowHttp of 0', { ...options, allowHttp: '0' }, /The allowHttp must be true or false/],
  ['algorithms that are text', { ...options, algorithms: 'RS256' }, /The algorithms must be a list of some/],
  ['algorithms that are null', { ...options, algorithms: null }, /The algorithms must be a list/],
  ['algorithms in a Set', { ...options, algorithms: new Set(['RS256']) }, /The algorithms must be a list/],
  ['types that are text', { ...options, types: 'at+jwt' }, /The types must be a list/],
  ['types that are null', { ...options, types: null }, /The types must be a list/],
  ['types in a Set', { ...options, types: new Set(['JWT']) }, /The types must be a list/],
  ['a type that is null', { ...options, types: [null] }, /The types must be a list/],
  ['a type that is empty', { ...options, types: ['JWT', ''] }, /The types must be a list/],
  ['a type with nothing behind its slash', { ...options, types: ['application/'] }, /The types must be/],
  [
    'a maxTokenAge that is text',
    { ...options, maxTokenAge: '60' },
    /The maxTokenAge must be seconds, above 0/,
  ],
  ['a maxTokenAge in a list', { ...options, maxTokenAge: [60] }, /The maxTokenAge must be seconds, above 0/],
  ['a maxTokenAge of 0', { ...options, maxTokenAge: 0 }, /The maxTokenAge must be seconds, above 0/],
  [
    'a clockTolerance that is text',
    { ...options, clockTolerance: '5' },
    /The clockTolerance must be seconds/,
  ],
  [
    'a clockTolerance without end',
    { ...options, clockTolerance: Number.POSITIVE_INFINITY },
    /The clockTolerance must be seconds/,
  ],
  ['a maxStale that is text', { ...options, maxStale: '1' }, /The maxStale must be seconds, 0 or more/],
  ['a maxStale that is null', { ...options, maxStale: null }, /The maxStale must be seconds, 0 or more/],
  ['a cache that is text', { ...options, cache: 'false' }, /The cache must be false, or its bounds/],
  ['a cache of 0', { ...options, cache: 0 }, /The cache must be false, or its bounds/],
  ['a cache of no tokens', { ...options, cache: { maxEntries: 0 } }, /The maxEntries must be a whole number/],
  ['a cache of "5" seconds', { ...options, cache: { maxAge: '5' } }, /The maxAge must be seconds, above 0/],
  ['a fetch that is text', { ...options, fetch: 'fetch' }, /The fetch must be a function/],
  ['a waitUntil that is a promise', { ...options, waitUntil: Promise.resolve() }, /The waitUntil must be/],
  ['an onProblem that is null', { ...options, onProblem: null }, /The onProblem must be a function/],
  ['an isRevoked that is null', { ...options, isRevoked: null }, /The isRevoked must be a function/],
  ['a clock that is a number', { ...options, now: 5 }, /The now must be a function/],
  ...noTimes.map(([what, time]): (typeof mistakes)[number] => [
    `a clock that gives ${what}`,
    { ...options, now: () => time },
    /The now option must give milliseconds since the epoch, as a finite number/,
  ]),
]

test.each(mistakes)('%s: the TypeError says what to do', (_, given, advice) => {
  const make = () => Reflect.apply(createVerifier, undefined, [given])
  expect(make).toThrow(expect.objectContaining({ name: 'TypeError', message: expect.stringMatching(advice) }))
})

test.each(noTimes)('a clock that gives %s later on is an error, and nothing is accepted', async (_, time) => {
  const state: { time: unknown } = { time: Date.now() }
  const make = (given: object): Verifier =>
    Reflect.apply(createVerifier, undefined, [{ ...options, now: () => state.time, ...given }])
  const fetched = make({ fetch: async () => Response.json({ keys }), onProblem() {} })
  const token = await key.sign(claimsFrom(here))
  const verifiers = [make({ keys }), make({ keys, cache: false }), fetched]
  for (const verifier of verifiers) expect(await verifier.verify(token)).toEqual({ id: 'alice' })
  state.time = time
  for (const verifier of verifiers)
    await expect(verifier.verify(token)).rejects.toThrow('The now option must give milliseconds')
})
