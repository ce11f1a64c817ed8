import { createServer } from 'node:http'
import { createTRPCClient, httpBatchStreamLink } from '@trpc/client'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { createNodeHandler, type HandlerOptions, publicProcedure, router } from '../../../server/index.js'
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
