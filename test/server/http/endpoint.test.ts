import { generateKeyPair } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startRemote } from '../../parts/app.js'
import { bearer, json, type Sent, send } from '../../parts/http-client.js'
import { startIssuer, type TokenOptions } from '../../parts/issuer.js'

let issuer: Awaited<ReturnType<typeof startIssuer>>
let app: Awaited<ReturnType<typeof startRemote>>
beforeAll(async () => {
  issuer = await startIssuer()
  app = await startRemote(issuer)
})
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await issuer[Symbol.asyncDispose]()
})

const refusal = (reason: string) => ({ error: { json: { data: { code: 'UNAUTHORIZED', reason } } } })
// RFC 6750 section 3: the characters allowed in a description.
const invalidToken = /^Bearer error="invalid_token", error_description="[\x20\x21\x23-\x5b\x5d-\x7e]+"$/
const soon = () => Math.floor(Date.now() / 1000) + 60
const past = () => Math.floor(Date.now() / 1000) - 60

describe('authentication', () => {
  test('me returns the user of the token', async () => {
    const token = await issuer.tokenFor('alice', { claims: { email: 'alice@example.com', role: 'admin' } })
    const response = await send(app.url, '/trpc/me', { headers: [bearer(token)] })
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      result: { data: { json: { id: 'alice', email: 'alice@example.com' } } },
    })
  })

  test.each<[string, Sent['headers']]>([
    ['no Authorization header', []],
    ['an empty one', [['authorization', '']]],
    ['the token in a cookie', [['cookie', 'token=abc']]],
  ])('%s is "missing", and the challenge is only the scheme', async (_, headers) => {
    const response = await send(app.url, '/trpc/me', { headers })
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer')
    expect(await response.json()).toMatchObject(refusal('missing'))
  })

  test('a token in the query is ignored', async () => {
    const response = await send(app.url, `/trpc/me?access_token=${await issuer.tokenFor('alice')}`)
    expect(await response.json()).toMatchObject(refusal('missing'))
  })

  const otherKey = generateKeyPair('EdDSA')
  const tokens: [reason: string, title: string, options: () => TokenOptions | Promise<TokenOptions>][] = [
    ['expired', 'past its exp', () => ({ claims: { exp: past() } })],
    ['not_yet_valid', 'before its nbf', () => ({ claims: { nbf: soon() } })],
    ['not_yet_valid', 'from the future', () => ({ claims: { iat: soon() } })],
    ['issuer', 'of another issuer', () => ({ claims: { iss: 'https://evil.example' } })],
    ['audience', 'for another API', () => ({ claims: { aud: ['https://other.example'] } })],
    ['signature', 'signed by another', async () => ({ key: (await otherKey).privateKey })],
    ['unknown_key', 'of a key the issuer lacks', () => ({ header: { kid: '2' } })],
    ['claims', 'that is an access token', () => ({ header: { typ: 'at+jwt' } })],
    ['claims', 'without exp', () => ({ claims: { exp: undefined } })],
    ['claims', 'of nobody', () => ({ claims: { sub: '' } })],
  ]
  test.each(tokens)('%s: a token %s', async (reason, _, options) => {
    const token = await issuer.tokenFor('alice', await options())
    const response = await send(app.url, '/trpc/me', { headers: [bearer(token)] })
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toMatch(invalidToken)
    const text = await response.text()
    expect(JSON.parse(text)).toMatchObject(refusal(reason))
    expect(text).not.toContain(token.slice(0, 20))
  })

  const unsigned = [{ alg: 'none' }, { sub: 'alice', exp: 4_102_444_800 }]
    .map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  test.each([
    ['malformed', 'Basic YWxpY2U6c2VjcmV0'],
    ['malformed', 'Bearer'],
    ['malformed', 'Bearer not-a-token'],
    ['malformed', 'Bearer one two'],
    ['malformed', `Bearer ${'a'.repeat(8_193)}`],
    ['algorithm', `Bearer ${unsigned}.`],
  ])('%s: %s', async (reason, authorization) => {
    const response = await send(app.url, '/trpc/me', { headers: [['authorization', authorization]] })
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toMatch(invalidToken)
    expect(await response.json()).toMatchObject(refusal(reason))
  })

  const expired = async () => [bearer(await issuer.tokenFor('alice', { claims: { exp: 1 } }))]
  test.each([
    ['no token', async () => [], /^Bearer$/],
    ['an expired one', expired, invalidToken],
  ])(
    'a batch answers its public calls, and its 207 has the challenge of %s',
    async (_, headers, challenge) => {
      const path = '/trpc/health,me?batch=1&input=%7B%7D'
      const response = await send(app.url, path, { headers: await headers() })
      expect(response.status).toBe(207)
      expect(response.headers.get('www-authenticate')).toMatch(challenge)
      expect(await response.json()).toMatchObject([{ result: {} }, { error: {} }])
    },
  )

  test.each([
    ['no token', []],
    ['another scheme', [['authorization', 'Basic YWxpY2U6c2VjcmV0']]],
    ['no JWT', [['authorization', 'Bearer x']]],
    ['an unsigned token', [['authorization', `Bearer ${unsigned}.`]]],
  ] satisfies [string, Sent['headers']][])(
    'health answers with %s, and challenges nobody',
    async (_, headers) => {
      const response = await send(app.url, '/trpc/health', { headers })
      expect(response.status).toBe(200)
      expect(response.headers.get('www-authenticate')).toBeNull()
      expect(await response.json()).toEqual({ result: { data: { json: { ok: true } } } })
    },
  )
})

describe('paths of procedures', () => {
  test.each([
    '/xxxx/me',
    '/trpcx/me',
    '/trpc',
    '/trpc/',
    '/trpc/a/b',
    '/trpc//me',
    '//trpc/me',
    '/TRPC/me',
    '/me',
    '/trpc/me%2F',
    '/trpc/Me',
  ])('%s is 404', async path => {
    const headers = [bearer(await issuer.tokenFor('alice'))]
    expect((await send(app.url, path, { headers })).status).toBe(404)
  })

  test.each(['nothing', 'tasks', 'tasks.nothing', '__proto__', 'constructor', 'toString'])(
    '%s is not a procedure: 404 in the form of tRPC',
    async procedure => {
      const response = await send(app.url, `/trpc/${procedure}`)
      expect(response.status).toBe(404)
      expect(await response.json()).toMatchObject({
        error: { json: { code: -32004, data: { code: 'NOT_FOUND', httpStatus: 404 } } },
      })
    },
  )
})

describe('headers of every answer', () => {
  const answers: [status: number, path: string, sent: Sent][] = [
    [200, '/trpc/health', {}],
    [200, '/trpc/health,health?batch=1&input=%7B%7D', {}],
    [204, '/trpc/health', { method: 'HEAD' }],
    [400, '/trpc/%E0%A4%A', {}],
    [401, '/trpc/me', {}],
    [404, '/trpc/nothing', {}],
    [404, '/trpc/a/b', {}],
    [405, '/trpc/me', { method: 'DELETE' }],
    [413, '/trpc/tasks.create', json('x'.repeat(1_048_576))],
    [415, '/trpc/tasks.create', { ...json({}), headers: [['content-type', 'text/plain']] }],
  ]

  test.each(answers)('%i at %s: no caching, no sniffing, an id', async (status, path, sent) => {
    const response = await send(app.url, path, sent)
    expect(response.status).toBe(status)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('vary')?.split(', ')).toContain('Origin')
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  })

  test.each(['a', 'A_b.c-9', 'x'.repeat(64)])('the request id of the caller is kept: %s', async id => {
    const response = await send(app.url, '/trpc/me', { headers: [['x-request-id', id]] })
    expect(response.headers.get('x-request-id')).toBe(id)
  })

  test.each(['', 'x'.repeat(65), 'two words', '"}{"', '<script>'])(
    'one that is none is replaced: %j',
    async id => {
      const response = await send(app.url, '/trpc/me', { headers: [['x-request-id', id]] })
      expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    },
  )
})
