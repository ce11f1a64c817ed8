import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { inspect } from 'node:util'
import { TRPCError } from '@trpc/server'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import {
  createNodeHandler,
  type HandlerOptions,
  protectedProcedure,
  publicProcedure,
  router,
  TokenError,
} from '../../../server/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { bearer, send } from '../../parts/http-client.js'
import { startIssuer } from '../../parts/issuer.js'
import { listen } from '../../parts/listen.js'
import { waitFor } from '../../parts/wait-for.js'

const secret = 'the password is hunter2'
const fail = (cause: unknown) => (): never => {
  throw cause
}
const internal = (cause?: Error) => new TRPCError({ code: 'INTERNAL_SERVER_ERROR', message: secret, cause })

const failing = router({
  fine: publicProcedure.query(() => 'fine'),
  error: publicProcedure.query(fail(new Error(secret))),
  trpcError: publicProcedure.query(fail(internal(new Error(secret)))),
  noCause: publicProcedure.query(fail(internal())),
  text: publicProcedure.query(fail(secret)),
  output: publicProcedure.output(z.literal(secret)).query(fail(new Error(secret))),
  sql: protectedProcedure.query(({ ctx }) => sql`select ${secret}::uuid`.execute(ctx.db)),
  twice: protectedProcedure.query(async ({ ctx }) => {
    const task = { id: crypto.randomUUID(), title: 'Once' }
    await ctx.db.insertInto('tasks').values([task, task]).execute()
  }),
  file: publicProcedure.query(() => readFile(`/${secret}`, 'utf8')),
  service: publicProcedure.query(() => once(connect(1, '127.0.0.1'), secret)),
  revoked: publicProcedure.query(() => {
    const message = 'Die Sitzung ist "beendet" \\ 終了\r\nx: y'
    throw new TRPCError({ code: 'UNAUTHORIZED', message, cause: new TokenError('revoked') })
  }),
})

const onError = vi.fn<NonNullable<HandlerOptions['onError']>>()
const onAnswer = vi.fn<NonNullable<HandlerOptions['onAnswer']>>()
let issuer: Awaited<ReturnType<typeof startIssuer>>
let database: Awaited<ReturnType<typeof openTestDatabase>>
let server: Awaited<ReturnType<typeof listen>>
let alice: [string, string]
beforeAll(async () => {
  issuer = await startIssuer()
  alice = bearer(await issuer.tokenFor('alice'))
  database = await openTestDatabase('PostgreSQL')
  const options = { verifier: issuer.verifier, database: database, router: failing, onError, onAnswer }
  server = await listen(createServer(createNodeHandler(options)))
})
beforeEach(() => {
  onError.mockClear()
  onAnswer.mockClear()
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
  await issuer[Symbol.asyncDispose]()
})

const masked = (requestId: string | null) => ({
  error: {
    json: {
      message: 'Something went wrong on the server.',
      data: { code: 'INTERNAL_SERVER_ERROR', httpStatus: 500, requestId },
    },
  },
})

describe.each(['error', 'trpcError', 'noCause', 'text', 'output', 'sql', 'file', 'service'])(
  '%s',
  procedure => {
    test('is an unexpected error: the caller sees only a request id', async () => {
      const response = await send(server.url, `/trpc/${procedure}`, { headers: [alice] })
      expect(response.status).toBe(500)
      const text = await response.text()
      expect(JSON.parse(text)).toMatchObject(masked(response.headers.get('x-request-id')))
      expect(text).not.toMatch(/hunter2|stack|node_modules|ECONNREFUSED/)
    })

    test('is passed to onError unchanged, with the request id of the caller', async () => {
      const headers: [string, string][] = [alice, ['x-request-id', `of-${procedure}`]]
      await send(server.url, `/trpc/${procedure}`, { headers })
      expect(onError).toHaveBeenCalledOnce()
      const [failure] = onError.mock.calls[0] ?? []
      expect(failure).toMatchObject({ requestId: `of-${procedure}`, procedure })
      expect(inspect(failure?.error)).toMatch(/hunter2|ECONNREFUSED/)
    })
  },
)

test('a duplicate key is reported to onError only, not to the caller', async () => {
  const response = await send(server.url, '/trpc/twice', { headers: [alice] })
  const text = await response.text()
  expect(JSON.parse(text)).toMatchObject(masked(response.headers.get('x-request-id')))
  expect(text).not.toMatch(/key|tasks|alice|duplicate/i)
  expect(inspect(onError.mock.calls, { depth: 5 })).toContain('duplicate key')
})

test('an unexpected error in a batch does not affect the other calls', async () => {
  const response = await send(server.url, '/trpc/fine,error,fine?batch=1&input=%7B%7D')
  expect(response.status).toBe(207)
  const fine = { result: { data: { json: 'fine' } } }
  expect(await response.json()).toMatchObject([fine, masked(response.headers.get('x-request-id')), fine])
})

test('a custom verifier that throws is an unexpected error too', async () => {
  const verifier = { verify: fail(new Error(secret)) }
  const handler = createNodeHandler({ verifier, database, router: failing, onError })
  await using broken = await listen(createServer(handler))
  const response = await send(broken.url, '/trpc/sql', { headers: [alice] })
  const text = await response.text()
  expect(text).not.toContain('hunter2')
  expect(inspect(onError.mock.calls, { depth: 5 })).toContain(secret)
  expect(JSON.parse(text)).toMatchObject(masked(response.headers.get('x-request-id')))
})

test('UNAUTHORIZED thrown by a router gives a challenge that RFC 6750 allows', async () => {
  const response = await send(server.url, '/trpc/revoked')
  expect(response.status).toBe(401)
  expect(response.headers.get('www-authenticate')).toMatch(
    /^Bearer error="invalid_token", error_description="[\x20\x21\x23-\x5b\x5d-\x7e]+"$/,
  )
  expect(onError).not.toHaveBeenCalled()
})

test('a client that disconnects in the middle of its body is not a server failure', async () => {
  const socket = connect(server.port, '127.0.0.1')
  const head =
    'POST /trpc/fine HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{'
  await new Promise(sent => socket.write(head, sent))
  socket.destroy()
  await waitFor(() => expect(onAnswer).toHaveBeenCalledOnce())
  expect(onError).not.toHaveBeenCalled()
  expect(onAnswer.mock.calls[0]?.[0].calls).not.toMatchObject([{ outcome: 'INTERNAL_SERVER_ERROR' }])
})
