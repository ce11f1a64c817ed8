import type { ServerResponse } from 'node:http'
import {
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from 'jose'
import { createVerifier } from '../../server/verifier/index.js'
import { seconds } from './clock.js'
import { startWeb } from './listen.js'

export const algorithms = ['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256'] as const

/** Claims of a valid token that lives for a minute. */
export const claimsFrom = (issuer: string, claims: JWTPayload = {}): JWTPayload => ({
  iss: issuer,
  aud: issuer,
  sub: 'alice',
  iat: seconds(),
  exp: seconds() + 60,
  ...claims,
})

/** A `user` option for several issuers: the same `sub` at two issuers is two users. */
export const carriesIssuer = ({ iss, sub }: { iss: string; sub: string }) => ({
  id: JSON.stringify([iss, sub]),
})

/** A key of an issuer: its public half as Better Auth publishes it (without `use`), and tokens signed with it. */
export async function makeKey(alg: string = 'EdDSA', kid: string = crypto.randomUUID()) {
  const { publicKey, privateKey } = await generateKeyPair(alg)
  const jwk: JWK = { ...(await exportJWK(publicKey)), alg, kid }
  return {
    kid,
    jwk,
    publicKey,
    privateKey,
    sign: (claims: JWTPayload, header: Partial<JWTHeaderParameters> = {}, signer = privateKey) =>
      new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(signer),
  }
}

export type Key = Awaited<ReturnType<typeof makeKey>>

/** What differs from a valid token. */
export interface TokenOptions {
  claims?: JWTPayload
  header?: { alg?: string; kid?: string; typ?: string }
  key?: CryptoKey
}

/** How an issuer answers: with its keys, by closing the connection, with an empty set, or as a function does. */
export type IssuerMode =
  | 'up'
  | 'away'
  | 'without keys'
  | ((response: ServerResponse, keySet: string) => unknown)

/**
 * The issuer of the tests, on a real socket. Its `keys` and its `mode` may change while it runs; `close` and `open` take it
 * off its port and back.
 */
export async function startIssuer({ keys, mode = 'up' }: { keys?: Key[]; mode?: IssuerMode } = {}) {
  const signer = keys?.[0] ?? (await makeKey('EdDSA', '1'))
  const issuer = { mode, keys: keys ?? [signer] }
  let requests = 0
  const open = (port?: number) =>
    startWeb((request, response) => {
      requests++
      const keySet = JSON.stringify({
        keys: issuer.mode === 'without keys' ? [] : issuer.keys.map(({ jwk }) => jwk),
      })
      if (issuer.mode === 'away') request.socket.destroy()
      else if (typeof issuer.mode === 'function') issuer.mode(response, keySet)
      else
        response
          .writeHead(request.url === '/api/auth/jwks' ? 200 : 404, { 'content-type': 'application/json' })
          .end(keySet)
    }, port)
  let web = await open()
  const { url, port } = web
  const close = () => web.close()
  return Object.assign(issuer, {
    url,
    port,
    requests: () => requests,
    /** A verifier that has the keys already. */
    verifier: createVerifier({ issuer: url, audience: url, keys: [signer.jwk] }),
    claims: (claims?: JWTPayload) => claimsFrom(url, claims),
    /** A token of a user that lives for 15 minutes. */
    tokenFor: (sub: string, { claims, header, key: other }: TokenOptions = {}): Promise<string> =>
      signer.sign(claimsFrom(url, { sub, exp: seconds() + 900, ...claims }), header, other),
    close,
    /** Listens on the same port again. */
    async open() {
      web = await open(port)
    },
    [Symbol.asyncDispose]: close,
  })
}
