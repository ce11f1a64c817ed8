import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startApp, startRemote } from '../../parts/app.js'
import { bearer, type Sent, send, sendBytes } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'

const allowed = 'https://app.example.com'

let app: Awaited<ReturnType<typeof startApp>>
let port: string
beforeAll(async () => {
  app = await startApp('embedded', { CORS_ORIGINS: `http://localhost:3000,capacitor://localhost,${allowed}` })
  port = new URL(app.url).port
})
afterAll(() => app[Symbol.asyncDispose]())

test('an idle connection outlives the 60 seconds of most load balancers', async () => {
  const { headers } = await fetch(`${app.url}/healthz`)
  expect(headers.get('keep-alive')).toBe('timeout=65')
})

describe('the page at /', () => {
  test('is the built page, which a proxy may not keep', async () => {
    const response = await send(app.url, '/')
    expect(response.headers.get('content-type')).toMatch(/^text\/html; charset=utf-8$/i)
    expect(response.headers.get('cache-control')).toBe('no-cache')
    expect(await response.text()).toMatch(/<script type="module" crossorigin src="\/assets\/[\w-]+\.js">/)
  })

  test.each(['br', 'gzip'])('has files that are kept for a year, compressed with %s', async encoding => {
    const page = await (await send(app.url, '/')).text()
    const files = [...page.matchAll(/"(\/assets\/[^"]+)"/g)].map(([, file = '']) => file)
    expect(files.length).toBeGreaterThan(2)
    for (const file of files) {
      const { headers, status } = await send(app.url, file, { headers: [['accept-encoding', encoding]] })
      expect(status).toBe(200)
      expect(headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
      expect(headers.get('content-encoding')).toBe(encoding)
      expect(headers.get('vary')).toMatch(/accept-encoding/i)
    }
  })

  test('has no other file', async () => {
    for (const file of [
      '/assets/missing.js',
      '/assets/..%2f..%2fpackage.json',
      '/assets/%2e%2e/index.html',
    ]) {
      const response = await send(app.url, file)
      expect(response.status).toBeGreaterThanOrEqual(400)
      expect(response.headers.get('cache-control')).toBe('no-store')
    }
  })

  test('loads and runs only its own files, and asks no other host', async () => {
    const { headers } = await send(app.url, '/')
    const policy = headers.get('content-security-policy')
    expect(policy).toMatch(/default-src 'none'/)
    expect(policy).toMatch(/script-src 'self';/)
    expect(policy).toMatch(/connect-src 'self';/)
    expect(policy).not.toMatch(/unsafe|http|\*/)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('names a remote issuer, and shows no commands for the in-process one', async () => {
    await using issuer = await startIssuer()
    await using remote = await startRemote(issuer)
    const page = await (await send(remote.url, '/')).text()
    expect(page).toContain(issuer.url)
    for (const word of ['trpc-bearer', '/trpc/', '/healthz', '/readyz', '/metrics', `${remote.url}/trpc/me`])
      expect(page).toContain(word)
    expect(page).not.toContain('/api/auth')
    expect(page).not.toContain('/assets/')
    expect((await send(remote.url, '/')).headers.get('content-security-policy')).not.toMatch(
      /script-src|unsafe/,
    )
    expect((await send(remote.url, '/api/auth/ok')).status).toBe(404)
  })
})

test.each(['/nothing', '/favicon.ico', '/readyz/', '/METRICS'])('%s is 404', async path => {
  const response = await send(app.url, path)
  expect(response.status).toBe(404)
  expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
})

describe('CORS', () => {
  const list = (value: string | null) => (value ?? '').toLowerCase().split(/ *, */)
  const preflight = (origin: string, method = 'POST'): Sent => ({
    method: 'OPTIONS',
    headers: [
      ['origin', origin],
      ['access-control-request-method', method],
      ['access-control-request-headers', 'authorization,content-type'],
    ],
  })

  test('a page may send any header: of a streamed batch, of tracing, of the application', async () => {
    const asked = 'authorization,content-type,trpc-accept,baggage,sentry-trace,traceparent,x-request-id,x-own'
    for (const path of ['/trpc/me', '/api/auth/token']) {
      const sent = preflight(allowed)
      sent.headers?.splice(2, 1, ['access-control-request-headers', asked])
      const response = await send(app.url, path, sent)
      expect(list(response.headers.get('access-control-allow-headers'))).toEqual(asked.split(','))
    }
  })

  test.each([allowed, 'http://localhost:3000', 'capacitor://localhost'])(
    '%s may send what a call needs: a token and JSON',
    async origin => {
      const response = await send(app.url, '/trpc/tasks.create', preflight(origin))
      expect(response.status).toBe(204)
      expect(response.headers.get('access-control-allow-origin')).toBe(origin)
      expect(list(response.headers.get('access-control-allow-headers'))).toEqual(
        expect.arrayContaining(['authorization', 'content-type']),
      )
      expect(list(response.headers.get('access-control-allow-methods'))).toEqual(
        expect.arrayContaining(['get', 'post']),
      )
      expect(list(response.headers.get('vary'))).toContain('origin')
    },
  )

  test.each(['/trpc/health', '/trpc/me', '/trpc/a/b', '/trpc/nothing'])('it may read %s', async path => {
    const { headers } = await send(app.url, path, { headers: [['origin', allowed]] })
    expect(headers.get('access-control-allow-origin')).toBe(allowed)
    expect(list(headers.get('access-control-expose-headers'))).toEqual(
      expect.arrayContaining(['www-authenticate', 'retry-after', 'x-request-id']),
    )
    expect(list(headers.get('vary'))).toContain('origin')
  })

  test.each([
    'https://evil.example',
    'https://app.example.com.evil.example',
    'https://evil-app.example.com',
    'http://app.example.com',
    'https://app.example.com:8443',
    'null',
    '*',
  ])('%s may not', async origin => {
    const answers = [
      await send(app.url, '/trpc/me', preflight(origin)),
      await send(app.url, '/trpc/me', { headers: [['origin', origin]] }),
      await send(app.url, '/api/auth/token', preflight(origin)),
      await send(app.url, '/api/auth/ok', { headers: [['origin', origin]] }),
    ]
    expect(answers.map(({ headers }) => headers.get('access-control-allow-origin'))).toEqual(
      Array(4).fill(null),
    )
  })

  test('an allowed frontend may sign users in at the in-process issuer', async () => {
    const response = await send(app.url, '/api/auth/sign-up/email', preflight(allowed))
    expect(response.headers.get('access-control-allow-origin')).toBe(allowed)
    expect(response.headers.get('access-control-allow-credentials')).toBe('true')
  })

  test('without CORS_ORIGINS no origin may', async () => {
    await using issuer = await startIssuer()
    await using closed = await startRemote(issuer)
    const { headers } = await send(closed.url, '/trpc/health', { headers: [['origin', allowed]] })
    expect(headers.get('access-control-allow-origin')).toBeNull()
  })
})

describe('with the in-process issuer', () => {
  const host = (name: string): Sent => ({ headers: [['host', name]] })
  const paths = ['/trpc/health', '/healthz', '/', '/api/auth/jwks', '/metrics']

  test.each([
    'evil.example',
    'evil.example:4000',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '169.254.169.254',
    '[::2]',
  ])('every request to the host %s is refused (DNS rebinding)', async name => {
    const answers = await Promise.all(paths.map(path => send(app.url, path, host(name))))
    expect(answers.map(({ status }) => status)).toEqual(paths.map(() => 403))
    expect(await answers[0]?.text()).toContain('HOST')
  })

  test.each(['localhost', '127.0.0.1', '[::1]', 'LOCALHOST'])('a request to %s is answered', async name => {
    for (const value of [name, `${name}:${port}`]) {
      const answers = await Promise.all(paths.map(path => send(app.url, path, host(value))))
      expect(answers.map(({ status }) => status)).toEqual(paths.map(() => 200))
    }
  })

  const raw = (target: string, ...hosts: string[]) =>
    sendBytes(
      app.url,
      [`GET ${target} HTTP/1.1`, ...hosts.map(name => `Host: ${name}`), 'Connection: close', '', ''].join(
        '\r\n',
      ),
    )

  test.each([
    ['http://localhost', 'evil.example'],
    ['http://127.0.0.1', 'evil.example:4000'],
    ['http://[::1]', 'localhost.evil.example'],
    ['https://localhost', 'evil.example'],
    ['http://evil.example', 'localhost'],
    ['http://localhost@evil.example', 'localhost'],
    ['http://localhost.evil.example', '127.0.0.1'],
    ['http://localhost', ''],
    ['', 'localhost, evil.example'],
    ['', 'evil.example, localhost'],
    ['', 'localhost@evil.example'],
    ['', 'evil.example\\@localhost'],
    ['', ''],
  ])('the target (%s) and the Host header (%s) must both name this machine', async (authority, name) => {
    const answers = await Promise.all(paths.map(path => raw(`${authority}${path}`, name)))
    for (const { status } of answers) expect([400, 403]).toContain(status)
    if (authority !== '' && name !== '')
      expect(answers.map(({ status }) => status)).toEqual(
        paths.map(() => (authority.includes('@') ? 400 : 403)),
      )
  })

  test.each([
    ['localhost', 'evil.example'],
    ['evil.example', 'localhost'],
  ])('each of two Host headers (%s, %s) must name this machine', async (first, second) => {
    const { status } = await raw('/api/auth/jwks', first, second)
    expect([400, 403]).toContain(status)
  })

  test('an absolute target with the same host as the Host header is answered', async () => {
    expect((await raw(`http://localhost:${port}/healthz`, `localhost:${port}`)).status).toBe(200)
    expect((await raw('http://LOCALHOST/healthz', '127.0.0.1')).status).toBe(200)
  })
})

test('with a remote issuer any host name is accepted, because a proxy sends its own', async () => {
  await using issuer = await startIssuer()
  await using remote = await startRemote(issuer)
  const headers: Sent['headers'] = [['host', 'api.example.com'], bearer(await issuer.tokenFor('alice'))]
  expect((await send(remote.url, '/trpc/me', { headers })).status).toBe(200)
})
