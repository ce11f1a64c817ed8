import { exportSPKI, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createVerifier } from '../../../../server/verifier/index.js'
import { algorithms, type Key, makeKey, startIssuer } from '../../../parts/issuer.js'
import { startWeb } from '../../../parts/listen.js'

let issuer: Awaited<ReturnType<typeof startIssuer>>
let key: Key
/** A key of somebody else with the kid of the issuer's key. */
let stranger: Key
beforeAll(async () => {
  key = await makeKey('EdDSA')
  stranger = await makeKey('EdDSA', key.kid)
  issuer = await startIssuer({
    keys: [key, ...(await Promise.all(algorithms.slice(1).map(alg => makeKey(alg))))],
  })
})
afterAll(() => issuer[Symbol.asyncDispose]())

const verify = (token: string) => createVerifier({ issuer: issuer.url, audience: issuer.url }).verify(token)
const signed = (claims = {}, header = {}) => key.sign(issuer.claims(claims), header)

test.each(algorithms)('a token signed with %s is accepted', async alg => {
  const signer = issuer.keys.find(({ jwk }) => jwk.alg === alg)
  const token = await signer?.sign(
    issuer.claims({ email: 'alice@example.com', name: 'Alice', role: 'admin' }),
  )
  expect(await verify(token ?? '')).toEqual({ id: 'alice', email: 'alice@example.com', name: 'Alice' })
})

type Make = () => string | Promise<string>

const refused: [what: string, reason: string, make: Make][] = [
  ['alg none', 'algorithm', () => new UnsecuredJWT(issuer.claims()).encode()],
  ['HS256 and the public key as secret', 'algorithm', () => signedWithPublicKey()],
  [
    'an algorithm that WebCrypto does not have',
    'algorithm',
    () =>
      new UnsecuredJWT(issuer.claims())
        .encode()
        .replace(/^[^.]+/, btoa('{"alg":"ES256K"}').replaceAll('=', ''))
        .concat('AA'),
  ],
  ['an unknown kid', 'unknown_key', () => signed({}, { kid: 'unknown' })],
  ['the kid of a key of another kind', 'unknown_key', () => signed({}, { kid: issuer.keys[1]?.kid })],
  ["somebody else's signature", 'signature', () => stranger.sign(issuer.claims())],
  [
    "another token's signature",
    'signature',
    async () => splice(await signed({ sub: 'bob' }), await signed()),
  ],
  [
    'a key of its own in the header',
    'signature',
    () => stranger.sign(issuer.claims(), { jwk: stranger.jwk }),
  ],
]

test.each(refused)('a token with %s is refused: %s', async (_, reason, make) => {
  await expect(verify(await make())).rejects.toMatchObject({ name: 'TokenError', reason })
})

test('the header cannot name a URL for its key', async () => {
  await using web = await startWeb((_, res) => res.end(JSON.stringify({ keys: [stranger.jwk] })))
  const pointers = { jku: web.url, x5u: web.url }
  await expect(verify(await stranger.sign(issuer.claims(), pointers))).rejects.toMatchObject({
    reason: 'signature',
  })
  await expect(
    verify(await stranger.sign(issuer.claims(), { ...pointers, kid: 'theirs' })),
  ).rejects.toMatchObject({ reason: 'unknown_key' })
  expect(web.requests()).toBe(0)
})

async function signedWithPublicKey() {
  const secret = new TextEncoder().encode(await exportSPKI(key.publicKey))
  return new SignJWT(issuer.claims()).setProtectedHeader({ alg: 'HS256', kid: key.kid }).sign(secret)
}

function splice(token: string, signedBy: string) {
  const [header, payload] = token.split('.')
  return [header, payload, signedBy.split('.')[2]].join('.')
}

test('of the keys under one kid the first four are tried', async () => {
  const keys = await Promise.all(Array.from({ length: 5 }, () => makeKey('EdDSA', 'one')))
  const verifier = createVerifier({
    issuer: issuer.url,
    audience: issuer.url,
    keys: keys.map(({ jwk }) => jwk),
  })
  const outcomes = await Promise.all(
    keys.map(async signer =>
      verifier.verify(await signer.sign(issuer.claims())).then(
        () => 'accepted',
        error => error.reason,
      ),
    ),
  )
  expect(outcomes).toEqual(['accepted', 'accepted', 'accepted', 'accepted', 'signature'])
})
