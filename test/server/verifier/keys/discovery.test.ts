import { expect, test, vi } from 'vitest'
import { createVerifier } from '../../../../server/index.js'
import { here, key, keySet, other, startClockedVerifier } from '../../../parts/clocked-verifier.js'
import { claimsFrom } from '../../../parts/issuer.js'
import { startWeb } from '../../../parts/listen.js'

const metadata = (issuer: string) => Response.json({ issuer, jwks_uri: 'https://keys.example.com/jwks' })

test('discovery finds the keys through either kind of metadata', async () => {
  const { state, outcome } = startClockedVerifier({ discover: true, issuer: `${here}/tenant` })
  const token = await key.sign(claimsFrom(`${here}/tenant`, { aud: here }))
  const asked: string[] = []
  state.answer = async url => {
    asked.push(url)
    if (url.endsWith('/openid-configuration')) return new Response(null, { status: 404 })
    return url.startsWith(here) ? metadata(`${here}/tenant`) : keySet(key)
  }
  expect(await outcome(token)).toBe('accepted')
  expect(asked).toEqual([
    `${here}/tenant/.well-known/openid-configuration`,
    `${here}/.well-known/oauth-authorization-server/tenant`,
    'https://keys.example.com/jwks',
  ])
})

test('discovery first asks where the metadata was last, and then the other place', async () => {
  const { state, sign, outcome } = startClockedVerifier({ discover: true })
  let place = '/.well-known/oauth-authorization-server'
  let asked: string[] = []
  state.answer = async url => {
    asked.push(new URL(url).pathname)
    if (!url.startsWith(here)) return keySet(key)
    return url === `${here}${place}` ? metadata(here) : new Response(null, { status: 404 })
  }
  const forge = () => sign(other, { kid: crypto.randomUUID() })
  expect(await outcome(await sign(key))).toBe('accepted')
  asked = []
  for (let n = 0; n < 5; n++) expect(await outcome(await forge())).toBe('unknown_key')
  expect(asked).toEqual(Array(5).fill([place, '/jwks']).flat())
  place = '/.well-known/openid-configuration'
  asked = []
  for (state.at of [10, 20]) expect(await outcome(await forge())).toBe('unknown_key')
  expect(asked).toEqual(['/.well-known/oauth-authorization-server', place, '/jwks', place, '/jwks'])
})

test('discovery follows an issuer that moves its keys, while the old URL serves the old ones', async () => {
  const { state, sign, outcome } = startClockedVerifier({ discover: true })
  let place = 'https://keys.example.com/old'
  state.answer = async url => {
    if (url.startsWith(here)) return Response.json({ issuer: here, jwks_uri: place })
    return url.endsWith('/old') ? keySet(key) : keySet(key, other)
  }
  expect(await outcome(await sign(key))).toBe('accepted')
  place = 'https://keys.example.com/new'
  expect(await outcome(await sign(other))).toBe('accepted')
})

test('if there are no keys at the default URL, the problem says what to set', async () => {
  const { state, verifier } = startClockedVerifier()
  state.answer = async () => new Response(null, { status: 404 })
  await expect(verifier.ready()).rejects.toThrow()
  expect(state.problems).toEqual([
    'The keys of https://auth.example.com cannot be refreshed. https://auth.example.com/api/auth/jwks answered with status 404. This is the default URL: set jwksUrl or discover.',
  ])
})

const status = (code: number) => new Response(null, { status: code })
const found = `${here}/.well-known/openid-configuration`
const moved = `${here}/.well-known/oauth-authorization-server`
const keysAt = (jwks_uri: string) => Response.json({ issuer: here, jwks_uri })

const logged: [what: string, problem: string, answer: (url: string) => Response, jwksUrl?: string][] = [
  ['no keys', `${here}/typo answered with status 404.`, () => status(404), `${here}/typo`],
  [
    'a secret in the query',
    `${here}/a answered with status 500.`,
    () => status(500),
    `${here}/a?token=secret`,
  ],
  [
    'no more of a path than 200 characters',
    `${here}/${'a'.repeat(199 - here.length)} answered with status 500.`,
    () => status(500),
    `${here}/${'a'.repeat(300)}`,
  ],
  ['a page', `The answer from ${here}/a is not JSON.`, () => new Response('<h1>'), `${here}/a`],
  ['no key set', `The answer from ${here}/a is not a key set.`, () => Response.json({}), `${here}/a`],
  ['an empty key set', `The key set at ${here}/a has no keys.`, () => keySet(), `${here}/a`],
  [
    'no metadata',
    `${found} answered with status 404. ${moved} answered with status 403. If the issuer has no metadata, set jwksUrl.`,
    url => status(url === found ? 404 : 403),
  ],
  ['metadata that fails', `${found} answered with status 500.`, () => status(500)],
  [
    'metadata that fails, while the other kind exists',
    `${found} answered with status 500.`,
    url => (url === found ? status(500) : url === moved ? metadata(here) : keySet(key)),
  ],
  [
    'metadata with a URL without keys',
    'https://keys.example.com/jwks answered with status 404.',
    url => (url === found ? metadata(here) : status(404)),
  ],
  [
    'metadata of another issuer',
    `The metadata at ${found} is for another issuer: "https://other.example.com".`,
    () => metadata('https://other.example.com'),
  ],
  [
    'metadata with a trailing slash',
    `The metadata at ${found} is for another issuer: "${here}/". Only the trailing slash differs. Set issuer to exactly this value.`,
    () => metadata(`${here}/`),
  ],
  [
    'the other kind of metadata with an issuer of two lines',
    `The metadata at ${moved} is for another issuer: "a\\nb".`,
    url => (url === found ? status(404) : metadata('a\nb')),
  ],
  ['metadata without an issuer', `The metadata at ${found} names no issuer.`, () => Response.json({})],
  ['a list', `The metadata at ${found} names no issuer.`, () => Response.json([])],
  ['a string', `The metadata at ${found} is not an object.`, () => Response.json('none')],
  [
    'metadata without jwks_uri',
    `The metadata at ${found} has no jwks_uri.`,
    () => Response.json({ issuer: here }),
  ],
  [
    'metadata with keys over http',
    `The jwks_uri in the metadata at ${found} is refused. The keys must come over https, not from http://a.example/b. See allowHttp.`,
    () => keysAt('http://a.example/b?token=secret'),
  ],
  [
    'metadata with a password',
    `The jwks_uri in the metadata at ${found} is refused. The jwksUrl must not contain a user or a password: fetch refuses such URLs.`,
    () => keysAt('https://user:secret@a.example'),
  ],
]

test.each(logged)('the problem names the URL: %s', async (_, problem, answer, jwksUrl) => {
  const { state, verifier } = startClockedVerifier(jwksUrl === undefined ? { discover: true } : { jwksUrl })
  state.answer = async url => answer(url)
  await expect(verifier.ready()).rejects.toThrow('cannot be fetched')
  expect(state.problems).toEqual([`The keys of ${here} cannot be refreshed. ${problem}`])
  expect(verifier.status().lastError).not.toContain('example')
})

const loopbacks = [
  'http://127.0.0.1:9/jwks',
  'http://localhost:9/jwks',
  'http://LOCALHOST:9/jwks',
  'http://[::1]:9/jwks',
  'http://127.1:9/jwks',
  'http://0x7f.0.0.1:9/jwks',
  'http://2130706433:9/jwks',
  'http://127.255.255.254:9/jwks',
]

test.each(loopbacks)('metadata from elsewhere send nobody to this machine: %s', async jwksUri => {
  const { origin, pathname } = new URL(jwksUri)
  for (const place of [found, moved]) {
    const { state, verifier } = startClockedVerifier({ discover: true })
    const asked: string[] = []
    state.answer = async url => {
      asked.push(url)
      if (url === place) return keysAt(jwksUri)
      return url.startsWith(here) ? status(404) : keySet(key)
    }
    await expect(verifier.ready()).rejects.toThrow('cannot be fetched')
    expect(state.problems).toEqual([
      `The keys of ${here} cannot be refreshed. The jwks_uri in the metadata at ${place} is refused. The keys must come over https, not from ${origin}${pathname}. See allowHttp.`,
    ])
    expect(asked.filter(url => !url.startsWith(here))).toEqual([])
  }
})

test.each([
  ['from this machine', { issuer: 'http://localhost:3000' }],
  ['from this machine, by its IP address', { issuer: 'http://127.0.0.2:3000' }],
  ['from this machine, over https', { issuer: 'https://localhost:3000' }],
  ['from anywhere, with allowHttp', { issuer: here, allowHttp: true }],
])('metadata %s may name keys on this machine', async (_, given) => {
  for (const jwksUri of loopbacks) {
    const { state, verifier } = startClockedVerifier({ discover: true, ...given })
    state.answer = async url =>
      url.includes('/.well-known/') ? Response.json({ issuer: given.issuer, jwks_uri: jwksUri }) : keySet(key)
    await verifier.ready()
    expect(verifier.status()).toMatchObject({ keys: 1 })
  }
})

test('the jwksUrl option may name this machine, for any issuer', async () => {
  for (const jwksUrl of loopbacks) await startClockedVerifier({ jwksUrl }).verifier.ready()
})

test('a missing trailing slash in the metadata is named too', async () => {
  const { state, verifier } = startClockedVerifier({ discover: true, issuer: `${here}/` })
  state.answer = async () => metadata(here)
  await expect(verifier.ready()).rejects.toThrow('cannot be fetched')
  expect(state.problems).toEqual([expect.stringContaining(`: "${here}". Only the trailing slash differs.`)])
})

test('by default a warning shows the system error of an unreachable issuer', async () => {
  using warn = vi.spyOn(console, 'warn').mockReturnValue()
  const web = await startWeb(() => {})
  await web.close()
  await expect(createVerifier({ issuer: web.url, audience: web.url }).ready()).rejects.toThrow()
  expect(warn.mock.calls).toEqual([
    [
      `The keys of ${web.url} cannot be refreshed. ${web.url}/api/auth/jwks cannot be reached. (ECONNREFUSED)`,
    ],
  ])
})

test.each([
  ['keys', {}, '/api/auth/jwks'],
  ['metadata', { discover: true }, '/.well-known/openid-configuration'],
])('a redirect to %s that the fetch option has followed is refused', async (_, given, path) => {
  await using web = await startWeb((req, res) => {
    const answer = { issuer: web.url, jwks_uri: `${web.url}/moved`, keys: [key.jwk] }
    if (req.url === path) res.writeHead(302, { location: '/moved' }).end()
    else res.end(JSON.stringify(answer))
  })
  const problems: string[] = []
  const verifier = createVerifier({
    issuer: web.url,
    audience: web.url,
    fetch: (url, init) => fetch(url, { ...init, redirect: 'follow' }),
    onProblem: problem => void problems.push(problem),
    ...given,
  })
  await expect(verifier.ready()).rejects.toMatchObject({ reason: 'keys_unavailable' })
  expect(problems).toEqual([
    expect.stringContaining(`${web.url}${path} redirects, and the fetch option followed.`),
  ])
})

test.each([
  ['of 2,049 characters', `https://keys.example.com/${'a'.repeat(2_024)}`],
  ['with a host of 261 characters', `https://${'\u4e00'.repeat(261)}/`],
])('a jwks_uri %s is refused before it is parsed', async (_, jwks_uri) => {
  const { state, sign, outcome } = startClockedVerifier({ discover: true })
  state.answer = async () => Response.json({ issuer: here, jwks_uri })
  expect(await outcome(await sign(key))).toBe('keys_unavailable')
  expect(state.requests).toBe(1)
  const problem = `The jwks_uri in the metadata at ${here}/.well-known/openid-configuration is too long.`
  expect(state.problems).toEqual([expect.stringContaining(problem)])
})

test('a jwks_uri of 2,048 characters is used', async () => {
  const jwks_uri = `https://keys.example.com/${'a'.repeat(2_023)}`
  const { state, sign, outcome } = startClockedVerifier({ discover: true })
  state.answer = async url => (url.startsWith(here) ? Response.json({ issuer: here, jwks_uri }) : keySet(key))
  expect(await outcome(await sign(key))).toBe('accepted')
})
