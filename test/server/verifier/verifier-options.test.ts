import { expect, test } from 'vitest'
import { createVerifier, type Verifier } from '../../../server/index.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'

const here = 'https://auth.example.com'
const options = { issuer: here, audience: here }
const key = await makeKey()
const keys = [key.jwk]

test.each<[string, () => unknown]>([
  ['an empty issuer', () => createVerifier({ ...options, issuer: '' })],
  ['an empty audience', () => createVerifier({ ...options, audience: '' })],
  // @ts-expect-error an issuer is required
  ['a missing issuer', () => createVerifier({ audience: here, keys })],
  // @ts-expect-error an audience is required
  ['a missing audience', () => createVerifier({ issuer: here })],
  // @ts-expect-error a shared secret does not prove the issuer
  ['HS256', () => createVerifier({ ...options, algorithms: ['EdDSA', 'HS256'] })],
  // @ts-expect-error an unsigned token proves nothing
  ['none', () => createVerifier({ ...options, algorithms: ['none'] })],
  ['an empty list of algorithms', () => createVerifier({ ...options, algorithms: [] })],
  [
    'an issuer that is not a URL, without jwksUrl',
    () => createVerifier({ ...options, issuer: 'our issuer' }),
  ],
  ['a jwksUrl that is not a URL', () => createVerifier({ ...options, jwksUrl: '/api/auth/jwks' })],
  // @ts-expect-error keys are objects
  ['keys that are a string', () => createVerifier({ ...options, keys: 'MIIB' })],
  // @ts-expect-error a key set has keys
  ['a key set without keys', () => createVerifier({ ...options, keys: {} })],
  [
    'a clock tolerance that is not a number',
    () => createVerifier({ ...options, clockTolerance: Number.NaN }),
  ],
  ['a clock tolerance below zero', () => createVerifier({ ...options, clockTolerance: -1 })],
  // @ts-expect-error only 'refuse' or 'accept'
  ['an unknown onRevocationError', () => createVerifier({ ...options, keys, onRevocationError: 'Refuse' })],
  // @ts-expect-error a list of tokens is not a function
  ['a list of revoked tokens', () => createVerifier({ ...options, keys, isRevoked: new Set() })],
])('%s is a TypeError of createVerifier', (_, make) => {
  expect(make).toThrow(TypeError)
})

test('if importing the keys shows that none can verify, ready and verify reject with a TypeError', async () => {
  const verifier = createVerifier({ ...options, keys: [{ ...key.jwk, x: 'AAAA' }] })
  const problem = { name: 'TypeError', message: expect.stringContaining('None of the keys can verify') }
  await expect(verifier.ready()).rejects.toMatchObject(problem)
  await expect(verifier.verify(await key.sign(claimsFrom(here)))).rejects.toMatchObject(problem)
})

/** What a clock may return in plain JavaScript. */
const invalidTimes: [what: string, time: unknown][] = [
  ['NaN', Number.NaN],
  ['infinity', Number.POSITIVE_INFINITY],
  ['undefined', undefined],
  ['a promise', Promise.resolve(0)],
  ['a string', new Date(0).toISOString()],
  ['a Date', new Date(0)],
  ['a bigint', 0n],
]

/** Options that plain JavaScript allows. */
const mistakes: [what: string, options: unknown, message: RegExp][] = [
  ['no options', undefined, /issuer must be a string .the iss .*audience must be a string .the aud /],
  ['null', null, /issuer must be a string .the iss .*audience must be a string .the aud /],
  ['a number', 5, /the argument must be an object/],
  [
    'a missing audience',
    { issuer: here },
    /: audience must be a string .the aud of the tokens., a list of strings, or null\.$/,
  ],
  ['an empty list of audiences', { issuer: here, audience: [] }, /audience must be a string/],
  [
    'a list of audiences with an empty one',
    { issuer: here, audience: [here, ''] },
    /audience must be a string/,
  ],
  ['an issuer that is a URL object', { issuer: new URL(here), audience: here }, /issuer must be a string/],
  ['issuers beside an issuer', { ...options, issuers: [options] }, /set issuer in each entry of issuers/],
  ['issuers beside keys', { issuers: [options], keys }, /set keys in each entry of issuers/],
  ['issuers that are not a list', { issuers: options }, /issuers must be a list/],
  ['an empty entry of issuers', { issuers: [options, {}] }, /issuers\[1\]\.issuer must be a string/],
  ['issuers that are undefined', { issuers: undefined }, /issuer must be a string/],
  ['an issuer twice', { issuers: [options, options] }, /two entries of issuers have the same issuer/],
  ['no issuers', { issuers: [] }, /issuers must be a list of one or more/],
  [
    'a user that is neither a schema nor a function',
    { ...options, user: { id: 'alice' } },
    /user must be a zod schema/,
  ],
  ['a user that is a string', { ...options, user: 'sub' }, /user must be a zod schema, or a function/],
  [
    'two issuers without the user option',
    {
      issuers: [
        { ...options, keys },
        { ...options, issuer: 'b', keys },
      ],
    },
    /several issuers, or an issuer function, need the user option/,
  ],
  ['a user that is null', { ...options, user: null }, /user must be a zod schema/],
  [
    'keys over http',
    { ...options, jwksUrl: 'http://keys.example.com/a?b=c' },
    /http:\/\/keys\.example\.com\/a\. See/,
  ],
  ['no keys', { ...options, keys: [] }, /None of the keys can verify a token\. Pass public keys for EdDSA/],
  ['an empty key set', { ...options, keys: { keys: [] } }, /None of the keys/],
  ['keys that are null', { ...options, keys: null }, /keys must be a list of JWKs/],
  ['a key for encrypting', { ...options, keys: [{ ...key.jwk, use: 'enc' }] }, /None of the keys/],
  ['a key of another algorithm', { ...options, keys: [{ ...key.jwk, alg: 'ES256' }] }, /None of the keys/],
  [
    'a misspelled option',
    { ...options, discovr: true },
    /unknown option discovr \(known options: .*discover/,
  ],
  [
    'a misspelled option of an entry of issuers',
    { issuers: [{ ...options, jwksURL: here }] },
    /unknown option issuers\[0\]\.jwksURL \(known options: .*jwksUrl/,
  ],
  [
    'a common option in an entry of issuers',
    { issuers: [{ ...options, types: ['JWT'] }] },
    /unknown option issuers\[0\]\.types /,
  ],
  [
    'a misspelled option of the cache',
    { ...options, cache: { ttl: 5 } },
    /unknown option cache\.ttl \(known options: maxEntries, maxAge\)\./,
  ],
  [
    'two mistakes',
    { ...options, discovr: true, maxAge: 5, clockTolerance: '5' },
    /clockTolerance must be .*; unknown option discovr, maxAge /,
  ],
  ['a cache that is true', { ...options, cache: true }, /cache must be false or an object/],
  ['a cache that is null', { ...options, cache: null }, /cache must be false or an object/],
  ['keys in a file', { ...options, jwksUrl: 'file:///etc/keys' }, /a URL of file:\. See allowHttp/],
  ['a jwksUrl that is null', { ...options, jwksUrl: null }, /jwksUrl must be a URL/],
  ['a key that is null', { ...options, keys: [null] }, /keys must be a list of JWKs/],
  ['an entry of issuers that is null', { issuers: [null] }, /issuers\[0\] must be an object/],
  ['a discover that is a string', { ...options, discover: 'false' }, /discover must be true or false/],
  ['an allowHttp that is a string', { ...options, allowHttp: 'false' }, /allowHttp must be true or false/],
  ['an allowHttp of 0', { ...options, allowHttp: '0' }, /allowHttp must be true or false/],
  ['algorithms that are a string', { ...options, algorithms: 'RS256' }, /algorithms must be a list/],
  [
    'an unknown algorithm',
    { ...options, algorithms: ['EdDSA', 'HS256'] },
    /algorithms\[1\] must be one of EdDSA, Ed25519, ES256/,
  ],
  ['algorithms that are null', { ...options, algorithms: null }, /algorithms must be a list/],
  ['algorithms in a Set', { ...options, algorithms: new Set(['RS256']) }, /algorithms must be a list/],
  ['types that are a string', { ...options, types: 'at+jwt' }, /types must be a list/],
  ['types that are null', { ...options, types: null }, /types must be a list/],
  ['types in a Set', { ...options, types: new Set(['JWT']) }, /types must be a list/],
  ['a type that is null', { ...options, types: [null] }, /types\[0\] must be a string such as JWT/],
  ['an empty type', { ...options, types: ['JWT', ''] }, /types\[1\] must be a string such as JWT/],
  ['a type that ends with a slash', { ...options, types: ['application/'] }, /types\[0\] must be a string/],
  [
    'a maxTokenAge that is a string',
    { ...options, maxTokenAge: '60' },
    /maxTokenAge must be a number of seconds, above 0/,
  ],
  [
    'a maxTokenAge in a list',
    { ...options, maxTokenAge: [60] },
    /maxTokenAge must be a number of seconds, above 0/,
  ],
  ['a maxTokenAge of 0', { ...options, maxTokenAge: 0 }, /maxTokenAge must be a number of seconds, above 0/],
  [
    'a clockTolerance that is a string',
    { ...options, clockTolerance: '5' },
    /clockTolerance must be a number of seconds, 0 or more/,
  ],
  [
    'an infinite clockTolerance',
    { ...options, clockTolerance: Number.POSITIVE_INFINITY },
    /clockTolerance must be a number of seconds, 0 or more/,
  ],
  ['a maxStale that is a string', { ...options, maxStale: '1' }, /maxStale must be a number of seconds/],
  ['a maxStale that is null', { ...options, maxStale: null }, /maxStale must be a number of seconds/],
  ['a cache that is a string', { ...options, cache: 'false' }, /cache must be false or an object/],
  ['a cache of 0', { ...options, cache: 0 }, /cache must be false or an object/],
  [
    'a cache of no tokens',
    { ...options, cache: { maxEntries: 0 } },
    /cache\.maxEntries must be a whole number/,
  ],
  [
    'a cache of "5" seconds',
    { ...options, cache: { maxAge: '5' } },
    /cache\.maxAge must be a number of seconds/,
  ],
  ['a fetch that is a string', { ...options, fetch: 'fetch' }, /fetch must be a function/],
  [
    'a waitUntil that is a promise',
    { ...options, waitUntil: Promise.resolve() },
    /waitUntil must be a function/,
  ],
  ['an onProblem that is null', { ...options, onProblem: null }, /onProblem must be a function/],
  ['an isRevoked that is null', { ...options, isRevoked: null }, /isRevoked must be a function/],
  ['a clock that is a number', { ...options, now: 5 }, /now must be a function/],
  ...invalidTimes.map(([what, time]): (typeof mistakes)[number] => [
    `a clock that returns ${what}`,
    { ...options, now: () => time },
    /The now option must return milliseconds since the epoch, as a finite number/,
  ]),
]

test.each(mistakes)('%s: the TypeError names the option and what it must be', (_, given, message) => {
  const make = () => Reflect.apply(createVerifier, undefined, [given])
  expect(make).toThrow(
    expect.objectContaining({ name: 'TypeError', message: expect.stringMatching(message) }),
  )
})

test.each(invalidTimes)(
  'a clock that returns %s later is an error, and no token is accepted',
  async (_, time) => {
    const state: { time: unknown } = { time: Date.now() }
    const make = (given: object): Verifier =>
      Reflect.apply(createVerifier, undefined, [{ ...options, now: () => state.time, ...given }])
    const fetched = make({ fetch: async () => Response.json({ keys }), onProblem() {} })
    const token = await key.sign(claimsFrom(here))
    const verifiers = [make({ keys }), make({ keys, cache: false }), fetched]
    for (const verifier of verifiers) expect(await verifier.verify(token)).toEqual({ id: 'alice' })
    state.time = time
    for (const verifier of verifiers)
      await expect(verifier.verify(token)).rejects.toThrow('The now option must return milliseconds')
  },
)
