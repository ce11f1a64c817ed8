import { createServer } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase } from '../../db/index.js'
import { createNodeHandler, createVerifier } from '../../server/index.js'
import { reasons } from '../../shared/reasons.js'
import { startRemote } from '../parts/app.js'
import { nowhere } from '../parts/database.js'
import { sendBytes } from '../parts/http-client.js'
import { carriesIssuer, startIssuer } from '../parts/issuer.js'
import { listen } from '../parts/listen.js'

const issuer = await startIssuer()
const away = await startIssuer()
const token = await issuer.tokenFor('alice')
const expired = await issuer.tokenFor('alice', { claims: { exp: 1 } })
const accessToken = await issuer.tokenFor('alice', { header: { typ: 'at+jwt' } })
const unknown = await issuer.tokenFor('alice', { header: { kid: 'unknown' } })
const ofAway = await away.tokenFor('alice')
const urls = { node: '', server: '' }
const stops: AsyncDisposable[] = [issuer, away]

beforeAll(async () => {
  // No call here uses the database, so the pool never connects.
  const database = await openDatabase({ url: nowhere })
  const verifier = createVerifier({
    issuers: [issuer, away].map(({ url }) => ({ issuer: url, audience: url })),
    user: carriesIssuer,
    onProblem() {},
  })
  const node = await listen(createServer(createNodeHandler({ verifier, database, onError() {} })))
  const server = await startRemote(issuer)
  urls.node = node.url
  urls.server = server.url
  stops.unshift(node, server, { [Symbol.asyncDispose]: database.close })
})
afterAll(async () => {
  for (const stop of stops) await stop[Symbol.asyncDispose]()
})

const request = (first: string, lines: string[], body = '') =>
  [first, 'Host: localhost', 'Connection: close', ...lines, '', body].join('\r\n')
const get = (...lines: string[]) => request('GET /trpc/me HTTP/1.1', lines)
const post = (type: string, body: string, ...lines: string[]) =>
  request(
    'POST /trpc/me HTTP/1.1',
    [`Content-Type: ${type}`, `Content-Length: ${body.length}`, ...lines],
    body,
  )
const bearer = (text: string) => `Authorization: Bearer ${text}`
const form = 'application/x-www-form-urlencoded'
const chunked = ['Content-Type: application/json', 'Transfer-Encoding: chunked', 'Trailer: Authorization']

/** What is sent, and the reason or else the status of the answer. */
type Sent = [name: string, answer: keyof typeof reasons | number, bytes: string]

const sent: Sent[] = [
  ['one header', 200, get(bearer(token))],
  ['the scheme in lower case', 200, get(`Authorization: bearer ${token}`)],
  ['the scheme in capitals', 200, get(`AUTHORIZATION: BEARER ${token}`)],
  ['several spaces', 200, get(`Authorization:   Bearer   ${token}  `)],
  ['HTTP/1.0', 200, request('GET /trpc/me HTTP/1.0', [bearer(token)])],
  ['a POST', 200, post('application/json', '{}', bearer(token))],
  ['no header', 'missing', get()],
  ['an empty header', 'missing', get('Authorization:')],
  ['two headers', 'malformed', get(bearer(token), bearer(token))],
  ['two headers, in two cases', 'malformed', get(bearer(token), `authorization: Bearer ${token}`)],
  ['a good header behind another scheme', 'malformed', get('Authorization: Basic YTpi', bearer(token))],
  ['another scheme behind a good header', 'malformed', get(bearer(token), 'Authorization: Basic YTpi')],
  ['an empty header behind a good one', 'malformed', get(bearer(token), 'Authorization:')],
  ['a good header behind an empty one', 'malformed', get('Authorization:', bearer(token))],
  ['a list', 'malformed', get(bearer(`${token}, Bearer ${token}`))],
  ['a list of two tokens', 'malformed', get(bearer(`${token},${token}`))],
  ['a list that ends empty', 'malformed', get(bearer(`${token},`))],
  ['a second token', 'malformed', get(bearer(`${token} ${token}`))],
  ['parameters behind the token', 'malformed', get(bearer(`${token} realm="x"`))],
  ['a semicolon behind the token', 'malformed', get(bearer(`${token};`))],
  ['Basic', 'malformed', get('Authorization: Basic YWxpY2U6c2VjcmV0')],
  ['Basic with the token', 'malformed', get(`Authorization: Basic ${token}`)],
  ['DPoP', 'malformed', get(`Authorization: DPoP ${token}`)],
  ['the token as a parameter', 'malformed', get(`Authorization: Bearer token="${token}"`)],
  ['the scheme alone', 'malformed', get('Authorization: Bearer')],
  ['the token alone', 'malformed', get(`Authorization: ${token}`)],
  ['a tab', 'malformed', get(`Authorization: Bearer\t${token}`)],
  ['a tab behind a space', 'malformed', get(`Authorization: Bearer \t${token}`)],
  ['a letter beyond ASCII', 'malformed', get(bearer(`${token}\xe9`))],
  ['a space beyond ASCII', 'malformed', get(`Authorization: Bearer\xa0${token}`)],
  ['8,193 characters', 'malformed', get(bearer('a'.repeat(8_193)))],
  ['padding', 'malformed', get(bearer(`${token}==`))],
  ['a token in the query', 'missing', request(`GET /trpc/me?access_token=${token} HTTP/1.1`, [])],
  ['a header in the query', 'missing', request(`GET /trpc/me?authorization=Bearer%20${token} HTTP/1.1`, [])],
  ['a token in a cookie', 'missing', get(`Cookie: access_token=${token}; authorization=Bearer ${token}`)],
  ['a token in Proxy-Authorization', 'missing', get(`Proxy-${bearer(token)}`)],
  ['a token in X-Authorization', 'missing', get(`X-${bearer(token)}`)],
  ['a token in X-Forwarded-Authorization', 'missing', get(`X-Forwarded-${bearer(token)}`)],
  ['a token in a JSON body', 'missing', post('application/json', JSON.stringify({ access_token: token }))],
  ['a token in a form', 415, post(form, `access_token=${token}`)],
  [
    'a token in a trailer',
    'missing',
    request('POST /trpc/me HTTP/1.1', chunked, `2\r\n{}\r\n0\r\n${bearer(token)}\r\n\r\n`),
  ],
  [
    'a good token in a header, another in the query',
    200,
    request('GET /trpc/me?access_token=x HTTP/1.1', [bearer(token)]),
  ],
  [
    'an expired token in a header, a good one in a cookie',
    'expired',
    get(bearer(expired), `Cookie: access_token=${token}`),
  ],
  ['an access token', 'claims', get(bearer(accessToken))],
  ['a kid that the issuer does not have', 'unknown_key', get(bearer(unknown))],
  ['a space before the colon', 400, get(`Authorization : Bearer ${token}`)],
  ['a folded header', 400, get(`Authorization: Bearer\r\n ${token}`)],
  ['a NUL', 400, get(bearer(`${token}\0`))],
  ['a header of 20,000 characters', 431, get(bearer('a'.repeat(20_000)))],
]

describe.each(['node', 'server'] as const)('%s', host => {
  test.each(sent)('%s: %s', async (_, expected, bytes) => {
    const { status, headers, body } = await sendBytes(urls[host], bytes)
    expect(body).not.toContain(token.slice(0, 20))
    expect(headers.get('retry-after')).toBeNull()
    if (typeof expected === 'number') {
      expect(status).toBe(expected)
      expect(headers.get('www-authenticate')).toBeNull()
      return
    }
    expect(status).toBe(401)
    expect(JSON.parse(body)).toMatchObject({
      error: { json: { data: { code: 'UNAUTHORIZED', reason: expected } } },
    })
    expect(headers.get('www-authenticate')).toBe(challengeOf(expected))
  })

  test('a second header behind 1,100 others is refused', async () => {
    const others = Array.from({ length: 1_100 }, () => 'A:')
    const { status, body } = await sendBytes(urls[host], get(bearer(token), ...others, bearer(token)))
    // From Node 22 on, Node itself answers 431.
    expect([401, 431]).toContain(status)
    if (status === 401) expect(body).toContain('"malformed"')
  })
})
test('it answered as whom the token says', async () => {
  const { body } = await sendBytes(urls.server, get(bearer(token)))
  expect(body).toContain('"id":"alice"')
})

test('an issuer that is away is an outage, and no challenge', async () => {
  away.mode = 'away'
  const { status, headers, body } = await sendBytes(urls.node, get(bearer(ofAway)))
  expect(status).toBe(503)
  expect(body).toContain('"reason":"keys_unavailable"')
  expect(headers.get('www-authenticate')).toBeNull()
  expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
})

/** RFC 6750 section 3: no error if no token was sent. */
function challengeOf(reason: keyof typeof reasons): string {
  if (reason === 'missing') return 'Bearer'
  return `Bearer error="invalid_token", error_description="${reasons[reason].replaceAll('"', "'")}"`
}
