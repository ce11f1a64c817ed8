import { createServer, type RequestListener } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { initTRPC, lazy, TRPCError } from '@trpc/server'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { type OpenDatabase, openDatabase } from '../../../../db/index.js'
import { directRequest } from '../../../../server/http/direct/direct-request.js'
import { settingsOf } from '../../../../server/http/exchange.js'
import { createFetchEndpoint } from '../../../../server/http/fetch-endpoint.js'
import {
  type Context,
  createNodeHandler,
  createVerifier,
  type HandlerOptions,
  requireScope,
  requireUser,
} from '../../../../server/index.js'
import { formatError } from '../../../../server/trpc/errors.js'
import { transformer } from '../../../../shared/index.js'
import { seconds as now } from '../../../parts/clock.js'
import { nowhere } from '../../../parts/database.js'
import { exchangeBytes } from '../../../parts/http-client.js'
import { claimsFrom, makeKey } from '../../../parts/issuer.js'
import { listen } from '../../../parts/listen.js'
import { randomNumbers } from '../../../parts/random-statements.js'

const issuer = 'https://auth.example.com'
const key = await makeKey()
const verifier = createVerifier({ issuer, audience: issuer, keys: [key.jwk], onProblem() {} })
const tokens = await Promise.all([
  key.sign(claimsFrom(issuer)),
  key.sign(claimsFrom(issuer, { scope: 'notes:write' })),
  key.sign(claimsFrom(issuer, { exp: now() - 600 })),
])

const t = initTRPC.context<Context>().create({
  transformer,
  isDev: false,
  errorFormatter: options => {
    if (options.error.message === 'no format') throw new Error('The formatter fails.')
    return formatError(options)
  },
})
const guarded = t.procedure.concat(requireUser())
const failing = (error: unknown) =>
  t.procedure.query(() => {
    throw error
  })
const inner = t.router({ hi: t.procedure.query(() => 'hi') })
const router = t.router({
  ok: t.procedure.query(() => 'ok'),
  none: t.procedure.query(() => undefined),
  me: guarded.query(({ ctx }) => ctx.user),
  notes: t.router({
    echo: t.procedure
      .input(z.object({ text: z.string().max(9), at: z.date().optional() }))
      .query(({ input }) => input),
    any: t.procedure.input(z.any()).query(({ input }) => ({ got: input })),
    edit: guarded
      .concat(requireScope('notes:write'))
      .input(z.any())
      .mutation(({ input }) => ({ edited: input })),
    raw: t.procedure
      .use(async ({ getRawInput, next }) => next({ ctx: { raw: await getRawInput() } }))
      .mutation(({ ctx }) => [ctx.raw]),
  }),
  rows: t.procedure.query(() => [{ at: new Date(1), note: undefined, big: 12n }, new Map([['a', 1]])]),
  unserializable: t.procedure.query(() => ({ constructor: 1 })),
  odd: t.procedure.query(() => 'grüße 終 \u2028 \ud800'),
  stream: t.procedure.query(async function* () {
    yield 1
  }),
  promises: t.procedure.query(() => ({ later: Promise.resolve(1) })),
  tick: t.procedure.subscription(async function* () {
    yield 1
  }),
  fails: failing(new Error('the password is hunter2')),
  teapot: failing(new TRPCError({ code: 'UNPROCESSABLE_CONTENT', message: 'no "tea"\n終' })),
  outage: failing(new TRPCError({ code: 'SERVICE_UNAVAILABLE' })),
  unformatted: failing(new TRPCError({ code: 'CONFLICT', message: 'no format' })),
  text: failing('text'),
  later: lazy(async () => inner),
})

type Meta = NonNullable<HandlerOptions['responseMeta']>
const metas: [what: string, Meta | undefined][] = [
  ['without responseMeta', undefined],
  [
    'with headers',
    () => ({ headers: new Headers({ 'cache-control': 'max-age=9', vary: 'x-a', 'x-b': 'b' }) }),
  ],
  [
    'with a record of headers, and cookies',
    ({ info, type }) => ({
      headers: {
        'set-cookie': ['a=1', 'b=2'],
        'x-type': type,
        'x-url': String(info?.url),
        'Content-Type': 'text/x',
      },
    }),
  ],
  ['with a status', ({ data, errors }) => ({ status: data.length > 1 ? 203 : errors.length > 0 ? 418 : 0 })],
  ['with a status that allows no body', ({ paths }) => ({ status: paths?.includes('ok') ? 204 : 700 })],
  ['with a header that is not valid', ({ paths }) => ({ headers: { 'x-paths': `${paths}\n` } })],
  [
    'that throws',
    ({ paths }) => {
      throw new Error(`${paths}`)
    },
  ],
]

const log: string[] = []
const optionsFor = (database: OpenDatabase, responseMeta: Meta | undefined): HandlerOptions => ({
  verifier,
  database,
  router,
  responseMeta,
  maxBatchSize: 4,
  maxBodySize: 200,
  onError: ({ error, requestId, procedure }) =>
    log.push(`error ${error.code} ${error.message} ${error.cause} ${requestId} ${procedure}`),
  onRefusal: refusal => log.push(JSON.stringify(refusal)),
  onAnswer: ({ request, ...report }) => {
    const { method, url, headers } = request
    log.push(JSON.stringify({ ...report, duration: 0, method, url, headers: [...headers] }))
  },
})

let database: OpenDatabase
let directRequests = 0
const hosts: { what: string; direct: number; fetch: number }[] = []
const servers: AsyncDisposable[] = []
beforeAll(async () => {
  // The pool connects on demand, so nothing connects here.
  database = await openDatabase({ url: nowhere })
  for (const [what, meta] of metas) {
    const options = optionsFor(database, meta)
    const settings = settingsOf(options)
    const endpoint = createFetchEndpoint(settings)
    const byFetch = getRequestListener((request, { incoming }) => endpoint(request, incoming), {
      overrideGlobalObjects: false,
      hostname: 'localhost',
    })
    const handler = createNodeHandler(options)
    const counting: RequestListener = (req, res) => {
      if (directRequest(req, settings) !== null) directRequests++
      handler(req, res)
    }
    const [direct, fetch] = [await listen(createServer(counting)), await listen(createServer(byFetch))]
    servers.push(direct, fetch)
    hosts.push({ what, direct: direct.port, fetch: fetch.port })
  }
})
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]()
  await database.close()
})

/** Everything that an endpoint does for these bytes: the whole answer without its date, and what its hooks receive. */
async function observed(port: number, bytes: Buffer): Promise<string> {
  log.length = 0
  const answer = await exchangeBytes(`http://127.0.0.1:${port}`, bytes)
  return [answer.replace(/^Date: .*\r\n/m, ''), ...log].join('\n').replaceAll(`:${port}`, ':port')
}

/** Makes requests, most of which are nearly right. */
function requestMaker(random: () => number) {
  const one = <T>(list: readonly [T, ...T[]]): T => list[Math.floor(random() * list.length)] ?? list[0]
  const chance = (share: number) => random() < share
  const queries = ['ok', 'me', 'notes.echo', 'notes.any', 'rows', 'none', 'odd'] as const
  const mutations = ['notes.edit', 'notes.raw'] as const
  const rare = [
    ...['fails', 'teapot', 'outage', 'text', 'unformatted', 'unserializable', 'stream', 'promises', 'tick'],
    ...[
      'later.hi',
      'unknown',
      'constructor',
      '__proto__',
      'notes',
      'notes.echo.x',
      '',
      '%6de',
      'me%',
      'me/',
      '/me',
      '..',
    ],
  ] as [string, ...string[]]
  const values = [
    ...[
      '{"json":{"text":"a"}}',
      '{"json":{"text":"long, too long"}}',
      '{"json":{"text":1,"at":2}}',
      '{"json":7}',
    ],
    ...[
      '{"json":{"text":"a","at":"2030-01-01T00:00:00.000Z"},"meta":{"values":{"at":["Date"]}}}',
      'null',
      '7',
    ],
    ...[
      '{"json":{"text":"ü"}}',
      '{}',
      '',
      '{"json":{"text":"\\ud800"}}',
      '{"json"',
      '[{"json":1}]',
      '"\\u0000"',
    ],
  ] as [string, ...string[]]
  const bodyOf = (isBatch: boolean) => {
    if (!isBatch || chance(0.1)) return one(values)
    return `{${['0', '1', '2']
      .filter(() => chance(0.7))
      .map(index => `"${index}":${one(values)}`)
      .join()}}`
  }
  const headersFor = (isPost: boolean): string[] => [
    `Host: ${chance(0.95) ? 'localhost' : one(['LOCALHOST:80', '[::1]:4', 'a b', '', 'xn--', 'x\r\nHost: y'])}`,
    ...(chance(0.8) ? ['X-Request-Id: id-1'] : chance(0.5) ? [] : ['x-request-id: a', 'x-request-id: b']),
    ...(chance(0.7) ? [`Authorization: Bearer ${one(tokens as [string, ...string[]])}`] : []),
    ...(chance(0.05) ? [`authorization: Bearer ${tokens[0]}`] : []),
    ...(isPost || chance(0.2)
      ? [
          `Content-Type: ${one(['application/json', 'application/json', 'Application/JSON ; charset=utf-8', 'text/plain', 'multipart/form-data; boundary=x', 'application/octet-stream', 'application/jsonx', ''])}`,
        ]
      : []),
    ...(chance(0.03) ? ['content-type: application/json'] : []),
    ...(chance(0.3)
      ? [`Accept: ${one(['*/*', 'application/json', 'text/html, application/jsonl', 'application/jsonlx'])}`]
      : []),
    ...(chance(0.05) ? [`trpc-accept: ${one(['application/jsonl', 'application/json'])}`] : []),
    ...(chance(0.1) ? ['Origin: https://app.example.com', 'Cookie: a=b; c=d'] : []),
    ...(chance(0.03) ? ['Expect: 100-continue'] : []),
    'Connection: close',
  ]
  return (): Buffer => {
    const isBatch = chance(0.4)
    const isMutation = chance(0.3)
    const isPost = chance(isMutation ? 0.95 : 0.15)
    const name = () => (chance(0.75) ? (isMutation ? one(mutations) : one(queries)) : one(rare))
    const path = Array.from({ length: isBatch ? 1 + Math.floor(random() * 5) : 1 }, name).join()
    // For the oldest tRPC an empty body is wrong JSON. For newer ones, and here, it is no input.
    const body = bodyOf(isBatch) || (isPost && process.env.OLDEST_TESTS ? '{}' : '')
    const query = [
      ...(isBatch ? ['batch=1'] : chance(0.05) ? [one(['batch=0', 'batch', 'batch=1'])] : []),
      ...(chance(isPost ? 0.1 : 0.8)
        ? [`input=${chance(0.9) ? encodeURIComponent(body) : body.replaceAll(' ', '+')}`]
        : []),
      ...(chance(0.05) ? [one(['connectionParams=%7B%7D', 'a=%', 'input=2', '#x', '\'"<>`', 'ä'])] : []),
    ].join('&')
    const prefix = chance(0.9)
      ? '/trpc/'
      : one(['/', '//trpc/', '/trpc/./', '/TRPC/', 'http://localhost/trpc/', '/trpc'])
    const method = chance(0.95)
      ? isPost
        ? 'POST'
        : 'GET'
      : one(['HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH'])
    const target = `${prefix}${path}${query && '?'}${query}`
    const version = chance(0.97) ? '1.1' : '1.0'
    const content = Buffer.from(isPost || chance(0.03) ? `${chance(0.05) ? '\ufeff' : ''}${body}` : '')
    if (chance(0.03) && content.length > 0) content[0] = 0xff
    const isChunked = content.length > 0 && chance(0.1)
    const length = content.length > 0 || (isPost && chance(0.9))
    const headers = [
      ...headersFor(isPost),
      ...(isChunked ? ['Transfer-Encoding: chunked'] : length ? [`Content-Length: ${content.length}`] : []),
    ]
    const head = Buffer.from(
      `${method} ${target} HTTP/${version}\r\n${headers.join('\r\n')}\r\n\r\n`,
      'latin1',
    )
    const end = isChunked
      ? [Buffer.from(`${content.length.toString(16)}\r\n`), content, Buffer.from('\r\n0\r\n\r\n')]
      : [content]
    return Buffer.concat([head, ...end])
  }
}

const runs = Number(process.env.DIRECT_RUNS ?? (process.env.LONG_TESTS ? 20_000 : 500))

test(`${runs} requests are answered as by tRPC's adapter, byte for byte`, async () => {
  const seed = Number(process.env.SEED ?? Date.now())
  // tRPC prints the errors of streams.
  using _ = vi.spyOn(console, 'error').mockReturnValue()
  const next = requestMaker(randomNumbers(seed))
  for (let run = 0; run < runs; run++) {
    const bytes = next()
    const host = hosts[run % (2 * hosts.length)] ?? hosts[0]
    if (host === undefined) throw new Error('There is no host.')
    const [direct, fetch] = [await observed(host.direct, bytes), await observed(host.fetch, bytes)]
    const withoutOwnId = (text: string) => text.replaceAll(/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g, 'id')
    expect(withoutOwnId(direct), `SEED=${seed}, request ${run}, ${host.what}:\n${bytes}`).toBe(
      withoutOwnId(fetch),
    )
  }
  // Else the adapter would be compared with itself.
  expect(directRequests / runs).toBeGreaterThan(0.2)
}, 600_000)

test('a header that is not ASCII arrives as it is, beside a body that is not', async () => {
  const responseMeta = () => ({ headers: new Headers({ 'x-name': 'Müller' }) })
  await using host = await listen(createServer(createNodeHandler(optionsFor(database, responseMeta))))
  for (const path of ['ok', 'odd']) {
    const answer = await observed(
      host.port,
      Buffer.from(`GET /trpc/${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
    )
    expect(answer).toContain('x-name: Müller')
  }
})
