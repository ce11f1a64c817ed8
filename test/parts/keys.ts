import { createServer, type RequestListener } from 'node:http'
import {
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from 'jose'

export const algorithms = ['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256'] as const

export const now = () => Math.floor(Date.now() / 1000)

/** Claims of a token that holds, a minute long. */
export const claimsFrom = (issuer: string, claims: JWTPayload = {}): JWTPayload => ({
  iss: issuer,
  aud: issuer,
  sub: 'alice',
  iat: now(),
  exp: now() + 60,
  ...claims,
})

/** A `user` option for several issuers: the same `sub` of two of them is two people. */
export const carriesIssuer = ({ iss, sub }: { iss: string; sub: string }) => ({
  id: JSON.stringify([iss, sub]),
})

/** A key of an issuer: the public half as Better Auth publishes it (no `use`), and tokens signed with it. */
export async function makeKey(alg: string = 'EdDSA', kid: string = crypto.randomUUID()) {
  const { publicKey, privateKey } = await generateKeyPair(alg)
  const jwk: JWK = { ...(await exportJWK(publicKey)), alg, kid }
  return {
    kid,
    jwk,
    publicKey,
    privateKey,
    sign: (claims: JWTPayload, header: Partial<JWTHeaderParameters> = {}) =>
      new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey),
  }
}

export type Key = Awaited<ReturnType<typeof makeKey>>

/** A web server that answers as it is told to, and counts. */
export async function startWeb(listener: RequestListener, at = 0) {
  let requests = 0
  const server = createServer((req, res) => {
    requests++
    listener(req, res)
  })
  await new Promise<void>((done, fail) => server.once('error', fail).listen(at, '127.0.0.1', done))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const close = () =>
    new Promise<void>(done => {
      server.close(() => done())
      server.closeAllConnections()
    })
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests: () => requests,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** An issuer's JWKS on a real socket. `keys` may change while it runs. */
export async function startKeys(...keys: Key[]) {
  const web = await startWeb((req, res) => {
    res.statusCode = req.url === '/api/auth/jwks' ? 200 : 404
    res
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }))
  })
  return { ...web, keys, claims: (claims?: JWTPayload) => claimsFrom(web.url, claims) }
}
