import { afterEach, expect, test, vi } from 'vitest'
import { createContextFactory, createVerifier } from '../../../server/index.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'
import { waitFor } from '../../parts/wait-for.js'

const issuer = 'https://auth.example.com'
const key = await makeKey()
afterEach(() => void vi.restoreAllMocks())

const bearing = (token: string) =>
  new Request('http://localhost', { headers: { authorization: `Bearer ${token}` } })
const signed = (claims: Record<string, unknown> = {}) => key.sign(claimsFrom(issuer, claims))

test.each<[string, Parameters<typeof createVerifier>[0], Record<string, unknown>, string]>([
  [
    'another issuer',
    { issuer: 'https://wrong.example.com', audience: issuer, keys: [key.jwk] },
    {},
    'Its iss is "https://auth.example.com". The issuer option is https://wrong.example.com.',
  ],
  [
    'an issuer with a slash',
    { issuer: `${issuer}/`, audience: issuer, keys: [key.jwk] },
    {},
    'only by a trailing slash',
  ],
  [
    'another audience',
    { issuer, audience: ['web', 'app'], keys: [key.jwk] },
    {},
    'Its aud is "https://auth.example.com". The audience option is web or app.',
  ],
  ['no audience', { issuer, audience: issuer, keys: [key.jwk] }, { aud: undefined }, 'It has no aud.'],
  [
    'another algorithm',
    { issuer, audience: issuer, keys: [key.jwk], algorithms: ['RS256'] },
    {},
    'Its alg is',
  ],
  ['a missing claim', { issuer, audience: issuer, keys: [key.jwk] }, { sub: '' }, 'The claim is sub.'],
])('a factory of its own warns once of %s, with what differs', async (_, options, claims, difference) => {
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => {})
  const createContext = createContextFactory({ verifier: createVerifier(options) })
  const token = await signed(claims)
  for (const _ of [1, 2]) expect((await createContext({ req: bearing(token) })).user).toBeNull()
  expect(warned.mock.calls).toEqual([[expect.stringContaining(difference)]])
  for (const part of token.split('.')) expect(String(warned.mock.calls)).not.toContain(part)
})

test.each<[string, () => Promise<Request>]>([
  ['no token', async () => new Request('http://localhost')],
  ['an expired one', async () => bearing(await signed({ exp: 1 }))],
  ['a valid one', async () => bearing(await signed())],
])('%s is no reason for a warning', async (_, request) => {
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => {})
  const verifier = createVerifier({ issuer, audience: issuer, keys: [key.jwk] })
  await createContextFactory({ verifier })({ req: await request() })
  expect(warned).not.toHaveBeenCalled()
})

test('onRefusal receives each refusal in place of the warning, and may throw', async () => {
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => {})
  const failed = vi.spyOn(console, 'error').mockImplementation(() => {})
  const onRefusal = vi.fn(() => {
    throw new Error('The log is full.')
  })
  const verifier = createVerifier({ issuer, audience: 'web', keys: [key.jwk] })
  const createContext = createContextFactory({ verifier, onRefusal })
  const token = await signed()
  for (const _ of [1, 2]) await createContext({ req: bearing(token) })
  await waitFor(() => expect(failed).toHaveBeenCalledTimes(2))
  expect(onRefusal.mock.calls).toMatchObject([[{ reason: 'audience' }], [{ reason: 'audience' }]])
  expect(warned).not.toHaveBeenCalled()
})
