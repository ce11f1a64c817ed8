import { createServer, type ServerResponse } from 'node:http'
import type { JWK } from 'jose'

/** How an issuer answers a request for its keys. */
export type Answer = (res: ServerResponse, keys: readonly JWK[]) => void

const json = (res: ServerResponse, body: unknown) =>
  res.setHeader('content-type', 'application/json').end(JSON.stringify(body))

/** Answers of healthy and failing issuers. */
export const answers = {
  keys: (res, keys) => json(res, { keys }),
  noKeys: res => json(res, { keys: [] }),
  page: res => res.setHeader('content-type', 'text/html').end('<html><body>Maintenance</body></html>'),
  tooMany: res => res.writeHead(429, { 'retry-after': '120' }).end(),
  unavailable: res => res.writeHead(503).end(),
  hangUp: res => res.destroy(),
  endless: res => {
    res.setHeader('content-type', 'application/json').write('{')
    const drip = setInterval(() => res.write(' '), 200)
    res.once('close', () => clearInterval(drip))
  },
  fiftyMegabytes: (res, keys) => json(res, { keys, padding: 'x'.repeat(50_000_000) }),
} satisfies Record<string, Answer>

export const redirectTo =
  (url: string): Answer =>
  res =>
    res.writeHead(302, { location: url }).end()

/** An issuer on a real socket. Its keys and answers can change while it runs. */
export async function startIssuer() {
  let requests = 0
  let open = 0
  const issuer = {
    answer: answers.keys as Answer,
    keys: [] as JWK[],
    origin: '',
    /** Unique even if a port is reused, because Better Auth has one cache per process, by URL. */
    jwksUrl: '',
    requests: () => requests,
    /** Number of requests with an unfinished answer. */
    open: () => open,
    stop: () =>
      new Promise<void>(done => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
  const server = createServer((_, res) => {
    requests++
    open++
    res.once('close', () => open--)
    issuer.answer(res, issuer.keys)
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  if (typeof address !== 'object' || address === null)
    throw new Error('The issuer does not listen on a port.')
  issuer.origin = `http://127.0.0.1:${address.port}`
  issuer.jwksUrl = `${issuer.origin}/${crypto.randomUUID()}/jwks`
  return issuer
}

export type Issuer = Awaited<ReturnType<typeof startIssuer>>
