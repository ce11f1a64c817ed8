import type { IncomingMessage } from 'node:http'
import { inspect } from 'node:util'
import { TRPCClientError } from '@trpc/client'
import { describe, expect, test } from 'vitest'
import { checkedFetch } from '../../client/checked-fetch.js'
import { createClient } from '../../client/index.js'
import { startWeb } from '../parts/listen.js'

const statuses = [300, 301, 302, 303, 304, 305, 307, 308]
const secret = 'what alice wrote'
const answer = JSON.stringify([{ result: { data: { json: { ok: 'from elsewhere' } } } }])

/** A server that answers every call. */
const startElsewhere = () =>
  startWeb((_req, res) => res.setHeader('content-type', 'application/json').end(answer))

/** An API that redirects to another URL and keeps the query. */
function startMoved(status: number, to: (req: IncomingMessage) => string) {
  return startWeb((req, res) => {
    if (req.url?.startsWith('/moved'))
      res.setHeader('content-type', 'application/json').writeHead(200).end(answer)
    else
      res
        .setHeader('content-type', 'application/json')
        .writeHead(status, { location: to(req) })
        .end(answer)
  })
}

async function failureOf(call: Promise<unknown>): Promise<Error> {
  const error = await call.then(
    value => new Error(`It was answered: ${JSON.stringify(value)}`),
    cause => cause,
  )
  expect(error).toBeInstanceOf(TRPCClientError)
  return error
}

const calls: [method: string, (url: string, fetch?: typeof globalThis.fetch) => Promise<unknown>][] = [
  [
    'GET',
    (url, fetch) => createClient({ url, fetch, cache: true, getToken }).tasks.list.query({ search: secret }),
  ],
  [
    'POST',
    (url, fetch) =>
      createClient({ url, fetch, cache: true, getToken }).tasks.create.mutate({ title: secret }),
  ],
]
const getToken = () => 'a.b.c'

describe.each(calls)('a redirect of a %s', (_, call) => {
  test.each(statuses)('to another origin is an error, and no request is sent there: %i', async status => {
    await using elsewhere = await startElsewhere()
    await using api = await startMoved(status, req => `${elsewhere.url}${req.url}`)
    const { message } = await failureOf(call(`${api.url}/trpc`))
    expect(message).toBe(`${api.url}/trpc/ redirects: set "url" to the final address of the API.`)
    expect(elsewhere.requests()).toBe(0)
    expect(api.requests()).toBe(1)
  })

  test.each(statuses)('within its origin is an error too: %i', async status => {
    await using api = await startMoved(status, req => `/moved${req.url}`)
    const { message } = await failureOf(call(`${api.url}/trpc`))
    expect(message).toContain('set "url"')
    expect(api.requests()).toBe(1)
  })

  test('that the runtime followed anyway is an error: its answer is not used', async () => {
    await using elsewhere = await startElsewhere()
    await using api = await startMoved(307, () => elsewhere.url)
    const follow: typeof fetch = (url, init) => fetch(url, { ...init, redirect: 'follow' })
    const { message } = await failureOf(call(`${api.url}/trpc`, follow))
    expect(message).toContain('set "url"')
  })

  test('that the runtime followed without `redirected` is an error if it led to another origin', async () => {
    await using elsewhere = await startElsewhere()
    await using api = await startMoved(307, () => elsewhere.url)
    // React Native's fetch has no `redirected`.
    const follow: typeof fetch = async (url, init) => {
      const response = await fetch(url, { ...init, redirect: 'follow' })
      return Object.defineProperty(response, 'redirected', { value: undefined })
    }
    const { message } = await failureOf(call(`${api.url}/trpc`, follow))
    expect(message).toContain('set "url"')
  })

  test('that the runtime followed without `redirected` is an error within the origin too', async () => {
    await using api = await startMoved(302, () => '/moved')
    const follow: typeof fetch = async (url, init) => {
      const response = await fetch(url, { ...init, redirect: 'follow' })
      return Object.defineProperty(response, 'redirected', { value: undefined })
    }
    const { message } = await failureOf(call(`${api.url}/trpc`, follow))
    expect(message).toContain('set "url"')
  })

  test('in a browser (no status, no headers) is an error', async () => {
    const opaque = async () =>
      Object.defineProperties(Response.error(), { type: { value: 'opaqueredirect' }, status: { value: 0 } })
    const { message } = await failureOf(call('https://api.example.com/trpc', opaque))
    expect(message).toBe(
      'https://api.example.com/trpc/ redirects: set "url" to the final address of the API.',
    )
  })

  test('is reported without the query', async () => {
    await using api = await startMoved(302, req => `/moved${req.url}?${secret}`)
    const { message, cause } = await failureOf(call(`${api.url}/trpc`))
    expect(`${message} ${cause}`).not.toContain('alice')
  })
})

test('a fetch that does not report redirects works', async () => {
  await using web = await startElsewhere()
  const silent: typeof fetch = async (url, init) => {
    const response = await fetch(url, init)
    return Object.defineProperties(response, { redirected: { value: undefined }, url: { value: '' } })
  }
  const client = createClient({ url: `${web.url}/trpc`, fetch: silent, cache: true, getToken })
  expect(await client.health.query()).toEqual({ ok: 'from elsewhere' })
})

test.each([undefined, null, '', '/trpc/health', 7])(
  'a mock of fetch whose url is %j is no obstacle',
  async url => {
    const mock: typeof fetch = async () =>
      Object.defineProperties(Response.json(JSON.parse(answer)), {
        redirected: { value: undefined },
        url: { value: url },
      })
    const client = createClient({ url: 'https://api.example.com/trpc', fetch: mock, cache: true, getToken })
    expect(await client.health.query()).toEqual({ ok: 'from elsewhere' })
  },
)

test('React Native without a redirect works with any input', async () => {
  await using web = await startElsewhere()
  const silent: typeof fetch = async (url, init) =>
    Object.defineProperty(await fetch(url, init), 'redirected', { value: undefined })
  const client = createClient({ url: `${web.url}/trpc`, fetch: silent, cache: true, getToken })
  expect(await client.tasks.list.query({ search: '\'"<>#é {}|^`' })).toEqual({ ok: 'from elsewhere' })
})

describe('an error of fetch', () => {
  const alices = 'a.SECRET.c'
  const failWith = async (make: (input: unknown, init: RequestInit | undefined) => unknown) => {
    const rejecting: typeof fetch = (input, init) => Promise.reject(make(input, init))
    return failureOf(clientWith(rejecting).health.query())
  }
  const clientWith = (fetch: typeof globalThis.fetch) =>
    createClient({ url: 'https://api.example.com/trpc', fetch, cache: true, getToken: () => alices })

  test.each<[string, (input: unknown, init: RequestInit | undefined) => unknown]>([
    ['its request', (_, init) => Object.assign(new Error('failed'), { config: init })],
    ['it in its message', () => new TypeError(`Headers: "Bearer ${alices}" is no value`)],
    ['it in the message of its cause', () => new Error('failed', { cause: new Error(`bearer ${alices}`) })],
    ['it alone in its message', () => new TypeError(`${alices} is no value`)],
    ['it as its code', (_, code) => Object.assign(new Error('failed'), { code })],
    ['the request as what was thrown', (_, init) => init],
  ])('with %s does not contain the token', async (_, make) => {
    const error = await failWith(make)
    expect(error.message).toContain('Cannot reach https://api.example.com/trpc/')
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain('SECRET')
  })

  test('that is thrown at once does not contain the token either', async () => {
    const throwing: typeof fetch = (_, init) => {
      throw Object.assign(new Error(`no ${alices}`), { config: init, code: alices })
    }
    const error = await failureOf(clientWith(throwing).health.query())
    expect(error.message).toContain('Cannot reach https://api.example.com/trpc/')
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain('SECRET')
  })

  test('with the request, while the body arrives, does not contain the token or the input', async () => {
    const breaking: typeof fetch = async (input, init) => {
      const error = Object.assign(new TypeError(`${init?.headers} ${alices} ${input}`), { config: init })
      const body = new ReadableStream({ start: controller => controller.error(error) })
      return new Response(body, { headers: { 'content-type': 'application/json' } })
    }
    const error = await failureOf(clientWith(breaking).tasks.list.query({ search: 'PRIVATE' }))
    expect(error.message).toBe('The answer of https://api.example.com/trpc/ cannot be read.')
    const printed = inspect(error, { depth: null, showHidden: true })
    expect(printed).not.toContain('SECRET')
    expect(printed).not.toContain('PRIVATE')
  })

  test('does not contain the URL with the input', async () => {
    const throwing: typeof fetch = async input => {
      throw new TypeError(`Request cannot be constructed from ${input}`)
    }
    const error = await failureOf(clientWith(throwing).tasks.list.query({ search: 'PRIVATE' }))
    expect(inspect(error, { depth: null })).not.toContain('PRIVATE')
  })

  test.each<[string, (text: string) => string]>([
    ['as it is', text => text],
    ['in JSON', text => JSON.stringify({ config: { body: text } })],
    ['encoded', encodeURIComponent],
    ['decoded', decodeURIComponent],
  ])('does not contain the input, if it quotes the request %s', async (_, quote) => {
    const throwing: typeof fetch = async (input, init) => {
      const { searchParams } = new URL(String(input))
      throw new Error(quote(String(init?.body ?? searchParams.get('input'))))
    }
    const client = clientWith(throwing)
    for (const call of [
      client.tasks.list.query({ search: 'PRIVATE "x"' }),
      client.tasks.create.mutate({ title: 'PRIVATE "x"' }),
    ])
      expect(inspect(await failureOf(call), { depth: null })).not.toContain('PRIVATE')
  })

  test('keeps its name, message, code and causes', async () => {
    const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
    const { cause } = await failWith(() => new TypeError('fetch failed', { cause: refused }))
    expect(cause).toMatchObject({
      cause: {
        name: 'TypeError',
        message: 'fetch failed',
        cause: { message: 'connect', code: 'ECONNREFUSED' },
      },
    })
  })
})

test('a content type is quoted only as a media type', async () => {
  const odd: typeof fetch = async () =>
    new Response('', { headers: { 'content-type': `text/x-odd\u009b${'x'.repeat(5_000)}` } })
  const client = createClient({ url: 'https://api.example.com/trpc', fetch: odd, cache: true, getToken })
  const { message } = await failureOf(client.health.query())
  expect(message).toBe(
    'No tRPC API answers at https://api.example.com/trpc/ (HTTP 200, text/x-odd): check "url".',
  )
})

test('a malformed query does not hide why the API is not reachable', async () => {
  const down = checkedFetch(async () => {
    throw new Error('down')
  })
  await expect(down('https://api.example.com/trpc/me?x=%zz')).rejects.toThrow(
    'Cannot reach https://api.example.com/trpc/',
  )
})

describe('an answer that is not of tRPC names its status', () => {
  const page = '<html>Request Entity Too Large</html>'
  test.each([
    [413, 'text/html', page, /too large for .*\/trpc\/ \(HTTP 413\)\. The API takes 1 MB/],
    [413, 'application/json', '{"message":"too large"}', /too large for .* \(HTTP 413\)/],
    [
      404,
      'application/json',
      '{"message":"no Route matched"}',
      /No tRPC API answers at .* \(HTTP 404, application\/json\)/,
    ],
    [404, 'application/json', 'null', /HTTP 404/],
    [200, 'application/json', '[]x', /cannot be read/],
    [200, 'application/json', '[1]', /No tRPC API answers at .* \(HTTP 200/],
    [429, 'application/json', '{"message":"rate limit"}', /HTTP 429/],
    [502, 'text/html', page, /answers HTTP 502: the API, or a proxy before it/],
    [503, 'application/json', '{"error_code":1}', /answers HTTP 503/],
    [503, 'application/json', '{"error":"Starting."}', /answers HTTP 503/],
    [429, 'application/json', '{"error":"Too many requests"}', /HTTP 429/],
  ])('%i, %s, %s', async (status, type, body, message) => {
    await using api = await startWeb((req, res) => {
      req.resume()
      res.writeHead(status, { 'content-type': type }).end(body)
    })
    for (const [, call] of calls) expect((await failureOf(call(`${api.url}/trpc`))).message).toMatch(message)
  })
})
