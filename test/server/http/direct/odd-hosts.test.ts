import { createServer, type RequestListener } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { type OpenDatabase, openDatabase } from '../../../../db/index.js'
import { createNodeHandler, type HandlerOptions, publicProcedure, router } from '../../../../server/index.js'
import { nowhere } from '../../../parts/database.js'
import { json, send } from '../../../parts/http-client.js'
import { listen } from '../../../parts/listen.js'
import { waitFor } from '../../../parts/wait-for.js'

const app = router({
  echo: publicProcedure.input(z.any()).mutation(({ input }) => input),
  ok: publicProcedure.query(() => 'ok'),
})
let database: OpenDatabase
beforeAll(async () => {
  // The pool connects on demand, so nothing connects here.
  database = await openDatabase({ url: nowhere })
})
afterAll(() => database.close())

const statuses: number[] = []
const errors: string[] = []

/** What a middleware of the host does before the handler. */
async function startBehind(
  middleware: (req: Parameters<RequestListener>[0], next: () => void) => void,
  options: Partial<HandlerOptions> = {},
) {
  statuses.length = 0
  errors.length = 0
  const handler = createNodeHandler({
    verifier: { verify: async () => ({ id: 'alice' }) },
    database,
    router: app,
    onAnswer: ({ status }) => void statuses.push(status),
    onError: ({ error }) => void errors.push(error.code),
    ...options,
  })
  return listen(createServer((req, res) => middleware(req, () => handler(req, res))))
}

test.each(['utf8', 'latin1', 'hex'] as const)(
  'a body that a middleware has given the encoding %s arrives whole',
  async encoding => {
    await using host = await startBehind((req, next) => {
      req.setEncoding(encoding)
      next()
    })
    const answer = await send(host.url, '/trpc/echo', json({ json: 'Grüße, 終' }))
    expect(await answer.json()).toEqual({ result: { data: { json: 'Grüße, 終' } } })
  },
)

test('a request that a middleware has paused is answered', async () => {
  await using host = await startBehind((req, next) => {
    req.pause()
    setTimeout(next, 20)
  })
  const answer = await send(host.url, '/trpc/echo', json({ json: 1 }))
  expect(answer.status).toBe(200)
})

test('a caller who has left before the handler runs is reported once', async () => {
  let next = () => {}
  await using host = await startBehind((_, run) => {
    next = run
  })
  for (const body of ['{"json":1}', '{"js']) {
    const socket = connect(host.port, '127.0.0.1').on('error', () => {})
    const head = 'POST /trpc/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10'
    socket.write(`${head}\r\n\r\n${body}`)
    next = () => {}
    await waitFor(() => expect(String(next)).not.toBe('() => {}'))
    const isGone = new Promise(done => socket.once('close', done))
    socket.destroy()
    await isGone
    await new Promise(done => setTimeout(done, 50))
    next()
    await waitFor(() => expect(statuses).toHaveLength(1))
    statuses.length = 0
  }
})

test('a header that only Node refuses is an error of the server, and is reported', async () => {
  const responseMeta = () => ({ headers: new Headers({ 'x-name': 'a\u0001b' }) })
  await using host = await startBehind((_, next) => next(), { responseMeta })
  const answer = await send(host.url, '/trpc/ok')
  expect(answer.status).toBe(500)
  expect([statuses, errors]).toEqual([[500], ['INTERNAL_SERVER_ERROR']])
})
