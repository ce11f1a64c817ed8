import { createServer } from 'node:http'
import { inspect } from 'node:util'
import { createTRPCClient, httpBatchStreamLink } from '@trpc/client'
import { initTRPC, TRPCError } from '@trpc/server'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import {
  createFetchHandler,
  createNodeHandler,
  type HandlerOptions,
  publicProcedure,
  type RequestReport,
  router,
} from '../../../server/index.js'
import { transformer } from '../../../shared/index.js'
import { refusalOf } from '../../parts/api-error.js'
import { nowhere } from '../../parts/database.js'
import { send } from '../../parts/http-client.js'
import { listen } from '../../parts/listen.js'

const failing = router({
  fine: publicProcedure.query(() => 'fine'),
  broken: publicProcedure.query(() => {
    // An error that an application's own log cannot read.
    throw Object.assign(new Error(), { message: 5, stack: null })
  }),
  odd: publicProcedure.query(() => {
    const issues = [
      null,
      'x',
      { message: 1 },
      { message: 'a', path: 'a.b' },
      { message: 'b', path: ['__proto__'] },
    ]
    throw new TRPCError({ code: 'BAD_REQUEST', cause: Object.assign(new Error('odd'), { issues }) })
  }),
  numbers: publicProcedure.query(async function* () {
    yield 1
    throw new Error('in the middle')
  }),
})
const throwing = () => {
  throw new Error('the log is full')
}
const verifier = { verify: throwing }

const logged = vi.spyOn(console, 'error')
beforeEach(() => {
  logged.mockReset().mockImplementation(() => {})
})
afterAll(() => logged.mockRestore())

async function startHooked(hooks: Pick<HandlerOptions, 'onError' | 'onAnswer'>) {
  // The pool connects on demand, so nothing connects here.
  const database = await openDatabase({ url: nowhere })
  const host = await listen(
    createServer(createNodeHandler({ verifier, database, router: failing, ...hooks })),
  )
  const link = httpBatchStreamLink<typeof failing>({ url: `${host.url}/trpc`, transformer })
  return {
    url: host.url,
    client: createTRPCClient<typeof failing>({ links: [link] }),
    async [Symbol.asyncDispose]() {
      await host[Symbol.asyncDispose]()
      await database.close()
    },
  }
}

const hooks: [what: string, Pick<HandlerOptions, 'onError' | 'onAnswer'>][] = [
  ['an onError that throws', { onError: throwing }],
  ['an onError that rejects', { onError: async () => throwing() }],
  ['an onAnswer that throws', { onAnswer: throwing }],
  ['an onAnswer that rejects', { onAnswer: async () => throwing() }],
  ['no hook, and an error whose message is not text', {}],
]

test.each(hooks)('%s does not break the answers of a batch', async (_, given) => {
  await using host = await startHooked(given)
  const response = await send(host.url, '/trpc/fine,broken,fine?batch=1')
  expect(response.status).toBe(207)
  expect(await response.json()).toMatchObject([
    { result: { data: { json: 'fine' } } },
    { error: { json: { data: { code: 'INTERNAL_SERVER_ERROR' } } } },
    { result: { data: { json: 'fine' } } },
  ])
  expect(logged).toHaveBeenCalled()
})

test.each(hooks)('%s does not break the answers of a stream', async (_, given) => {
  await using host = await startHooked(given)
  const [fine, broken] = await Promise.all([host.client.fine.query(), refusalOf(host.client.broken.query())])
  expect([fine, broken.data?.code]).toEqual(['fine', 'INTERNAL_SERVER_ERROR'])
  const seen: number[] = []
  const read = async () => {
    for await (const number of await host.client.numbers.query()) seen.push(number)
  }
  await expect(read()).rejects.toMatchObject({ data: { code: 'INTERNAL_SERVER_ERROR' } })
  expect(seen).toEqual([1])
})

test('an error of a hook is reported with the names of the option and the request id', async () => {
  await using host = await startHooked({ onError: throwing })
  const response = await send(host.url, '/trpc/broken')
  const requestId = response.headers.get('x-request-id')
  expect(logged).toHaveBeenCalledWith(`The onError option threw an error (request ${requestId}):`, [
    expect.objectContaining({ message: 'the log is full' }),
  ])
})

test('issues of an unusual form do not break the answers of a batch', async () => {
  await using host = await startHooked({})
  const response = await send(host.url, '/trpc/fine,odd?batch=1')
  expect(response.status).toBe(207)
  const [, odd] = JSON.parse(await response.text())
  expect(odd.error.json.data.fields).toEqual({ root: ['a', 'b'] })
})

test.each(['GET', 'POST'])(
  'a printed report of a %s contains neither the token nor the input',
  async method => {
    const printed: string[] = []
    const database = await openDatabase({ url: nowhere })
    const onAnswer = (report: RequestReport) =>
      void printed.push(inspect(report, { depth: 9 }), JSON.stringify(report), String(report.request.method))
    const options = { verifier, database, router: failing, onAnswer }
    await using host = await listen(createServer(createNodeHandler(options)))
    const input = encodeURIComponent(JSON.stringify({ json: 'INPUT' }))
    const request = { method, headers: [['authorization', 'Bearer TOKEN']] as [string, string][] }
    await send(host.url, `/trpc/fine?input=${input}`, request)
    const url = `http://localhost/trpc/fine?input=${input}`
    await createFetchHandler(options)(
      new Request(url, { method, headers: { authorization: 'Bearer TOKEN' } }),
    )
    expect(printed.filter(text => text === method)).toHaveLength(2)
    expect(printed.join()).not.toMatch(/TOKEN|INPUT/)
    await database.close()
  },
)

test('an error formatter of the application that throws does not leave a request without an answer', async () => {
  const t = initTRPC.create({
    errorFormatter: () => {
      throw new Error('the formatter is broken')
    },
  })
  const database = await openDatabase({ url: nowhere })
  const seen: number[] = []
  const handle = createFetchHandler({
    verifier,
    database,
    router: t.router({}),
    onAnswer: ({ status }) => void seen.push(status),
  })
  const response = await handle(new Request('http://localhost/nowhere/at/all'))
  expect(response.status).toBe(404)
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(seen).toEqual([404])
  await database.close()
})

test.each(['xn--', '1.2.3.4.5', '256.256.256.256'])('the Host %j is answered with 400', async name => {
  await using host = await startHooked({})
  const response = await send(host.url, '/trpc/fine', { headers: [['host', name]] })
  expect(response.status).toBe(400)
  expect(response.headers.get('x-request-id')).not.toBeNull()
})
