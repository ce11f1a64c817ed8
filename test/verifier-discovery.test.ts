import { expect, test, vi } from 'vitest'
import { createVerifier } from '../server/index.js'
import { claimsFrom, startWeb } from './parts/keys.js'
import { here, key, keySet, other, startTold } from './parts/told-issuer.js'

const metadata = (issuer: string) => Response.json({ issuer, jwks_uri: 'https://keys.example.com/jwks' })

test('discovery finds the keys by the metadata of the issuer, of either kind', async () => {
  const { state, outcome } = startTold({ discover: true, issuer: `${here}/tenant` })
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

test('discovery asks first where the metadata were last, and elsewhere when they have moved', async () => {
  const { state, sign, outcome } = startTold({ discover: true })
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

test('discovery goes with an issuer that moves its keys, while the old place serves those of before', async () => {
  const { state, sign, outcome } = startTold({ discover: true })
  let place = 'https://keys.example.com/old'
  state.answer = async url => {
    if (url.startsWith(here)) return Response.json({ issuer: here, jwks_uri: place })
    return url.endsWith('/old') ? keySet(key) : keySet(key, other)
  }
  expect(await outcome(await sign(key))).toBe('accepted')
  place = 'https://keys.example.com/new'
  expect(await outcome(await sign(other))).toBe('accepted')
})

test('a default place without keys is named, with what to set', async () => {
  const { state, verifier } = startTold()
  state.answer = async () => new Response(null, { status: 404 })
  await expect(verifier.ready()).rejects.toThrow()
  expect(state.problems).toEqual([
    'The keys of https://auth.example.com cannot be refreshed. The issuer answered with status 404. There are no keys at https://auth.example.com/api/auth/jwks: set discover or jwksUrl.',
  ])
})

test.each([{ jwksUrl: `${here}/jwks` }, { discover: true }])(
  'a place that was set is not guessed: %j',
  async options => {
    const { state, verifier } = startTold(options)
    state.answer = async () => new Response(null, { status: 404 })
    await expect(verifier.ready()).rejects.toThrow()
    expect(state.problems).toEqual([
      'The keys of https://auth.example.com cannot be refreshed. The issuer answered with status 404.',
    ])
  },
)

test('by default a warning says what the system says of an issuer that is not there', async () => {
  using warn = vi.spyOn(console, 'warn').mockReturnValue()
  const web = await startWeb(() => {})
  await web.close()
  await expect(createVerifier({ issuer: web.url, audience: web.url }).ready()).rejects.toThrow()
  expect(warn.mock.calls).toEqual([
    [`The keys of ${web.url} cannot be refreshed. The issuer cannot be reached. (ECONNREFUSED)`],
  ])
})
