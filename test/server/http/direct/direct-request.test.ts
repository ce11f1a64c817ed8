import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { lazy } from '@trpc/server'
import { expect, test } from 'vitest'
import { directRequest, urlOf } from '../../../../server/http/direct/direct-request.js'
import { settingsOf } from '../../../../server/http/exchange.js'
import { publicProcedure, router } from '../../../../server/index.js'

const settings = settingsOf({
  verifier: { verify: async () => ({ id: 'alice' }) },
  database: {
    forUser() {
      throw new Error('No procedure is called here.')
    },
  },
  router: router({
    ok: publicProcedure.query(() => 1),
    notes: { add: publicProcedure.mutation(() => 1), delete: publicProcedure.mutation(() => 1) },
    tick: publicProcedure.subscription(async function* () {
      yield 1
    }),
    later: lazy(async () => router({ ok: publicProcedure.query(() => 1) })),
  }),
  maxBatchSize: 2,
  maxBodySize: 9,
})

function requestOf(line: string, headers: Record<string, string | string[]> = {}) {
  const [method = '', url = '', version = '1.1'] = line.split(' ')
  const req = new IncomingMessage(new Socket())
  const own = method === 'POST' ? { 'Content-Type': 'application/json', 'Content-Length': '2' } : {}
  const pairs = Object.entries({ Host: 'localhost', ...own, ...headers })
  const rawHeaders = pairs.flatMap(([name, values]) => [values].flat().flatMap(value => [name, value]))
  return Object.assign(req, { method, url, rawHeaders, httpVersionMajor: Number(version[0]) })
}

test.each<[line: string, paths: string[], headers?: Record<string, string>]>([
  ['GET /trpc/ok', ['ok']],
  ['GET /ok', ['ok']],
  ['GET /trpc/ok/?input=%7B%7D&x=%', ['ok']],
  [
    'GET /trpc/ok,ok?batch=1',
    ['ok', 'ok'],
    { Accept: '*/*', Authorization: 'Bearer a', 'X-Request-Id': 'a' },
  ],
  ['GET /trpc/ok', ['ok'], { Host: 'api.example.com:8080', 'Content-Type': 'application/json' }],
  ['POST /trpc/ok', ['ok']],
  ['POST /trpc/notes.add', ['notes.add'], { 'Content-Type': 'Application/JSON; charset=utf-8' }],
  ['POST /trpc/notes.add', ['notes.add'], { 'Content-Length': '0' }],
  ['POST /trpc/notes.add,notes.delete?batch=1', ['notes.add', 'notes.delete']],
])('%s is a direct call of %j (%j)', (line, paths, headers) => {
  const request = directRequest(requestOf(line, headers), settings)
  expect(request?.calls.map(({ path }) => path)).toEqual(paths)
})

test.each<[line: string, headers?: Record<string, string | string[]>]>([
  ['HEAD /trpc/ok'],
  ['OPTIONS /trpc/ok'],
  ['GET /trpc/ok HTTP/2'],
  ['GET /trpc/ok', { Host: '' }],
  ['GET /trpc/ok', { Host: 'a b' }],
  ['GET /trpc/ok', { Host: '1.2.3.4.5' }],
  ['GET /trpc/ok', { Host: ['a', 'b'] }],
  ['GET /trpc/ok', { 'trpc-accept': 'application/jsonl' }],
  ['GET /trpc/ok?batch=1', { Accept: 'text/html, application/jsonl' }],
  ['GET /trpc/ok', { 'Content-Length': '2' }],
  ['GET /trpc/ok?connectionParams=%7B%7D'],
  ['GET /trpc/ok#x'],
  ['GET /trpc/ok?ä'],
  ['GET http://localhost/trpc/ok'],
  ['GET //trpc/ok'],
  ['GET /trpc//ok'],
  ['GET /trpc/../trpc/ok'],
  ['GET /trpc/%6fk'],
  ['GET /trpc/'],
  ['GET /trpc/unknown'],
  ['GET /trpc/constructor'],
  ['GET /trpc/notes'],
  ['GET /trpc/later.ok'],
  ['GET /trpc/tick'],
  ['GET /trpc/notes.add'],
  ['GET /trpc/ok,ok'],
  ['GET /trpc/ok,ok,ok?batch=1'],
  ['POST /trpc/ok,notes.add?batch=1'],
  ['POST /trpc/notes.add', { 'Content-Type': 'text/plain' }],
  ['POST /trpc/notes.add', { 'Content-Type': 'multipart/form-data; boundary=x' }],
  ['POST /trpc/notes.add', { 'Content-Type': ['application/json', 'application/json'] }],
  ['POST /trpc/notes.add', { 'Content-Length': '10' }],
  ['POST /trpc/notes.add', { 'Transfer-Encoding': 'chunked' }],
])('%s with %j is left to the adapter', (line, headers) => {
  expect(directRequest(requestOf(line, headers), settings)).toBeNull()
})

test('the URL is that of Fetch', () => {
  const req = requestOf('GET /trpc/ok?a=%20', { Host: 'LOCALHOST:1' })
  const request = directRequest(req, settings)
  expect(request && urlOf(req, request)).toBe('http://LOCALHOST:1/trpc/ok?a=%20')
})
