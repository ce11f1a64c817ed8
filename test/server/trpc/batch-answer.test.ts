import { type AnyTRPCRouter, initTRPC } from '@trpc/server'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Context,
  createFetchHandler,
  protectedProcedure,
  publicProcedure,
  requireScope,
  requireUser,
  router,
} from '../../../server/index.js'
import { countAnswer, emptyBatchAnswer } from '../../../server/trpc/batch-answer.js'
import { transformer } from '../../../shared/index.js'
import { openTestDatabase } from '../../parts/database.js'
import { startIssuer } from '../../parts/issuer.js'

const large = 'x'.repeat(6_000_000)
const written: string[] = []
const app = router({
  large: publicProcedure.query(() => ({ text: large })),
  own: protectedProcedure.query(() => ({ text: large })),
  small: publicProcedure.query(() => 'small'),
  controls: publicProcedure.query(() => '\u0001'.repeat(1_500_000)),
  foreign: publicProcedure.query(() => '終'.repeat(3_000_000)),
  write: publicProcedure.mutation(() => {
    written.push('x')
    return large
  }),
})

let issuer: Awaited<ReturnType<typeof startIssuer>>
let database: Awaited<ReturnType<typeof openTestDatabase>>
beforeAll(async () => {
  issuer = await startIssuer()
  database = await openTestDatabase('PostgreSQL')
})
afterAll(async () => {
  await issuer[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const t = initTRPC.context<Context>().create({ transformer })
const foreign = t.router({
  own: t.procedure.concat(requireUser()).query(() => ({ text: large })),
  scoped: t.procedure
    .concat(requireUser())
    .concat(requireScope('read'))
    .query(() => ({ text: large.slice(0, 4_900_000) })),
})

type Answer = { error?: { json: { data: { code: string } } } }

async function call(path: string, init: RequestInit = {}, served: AnyTRPCRouter = app) {
  const handler = createFetchHandler({ verifier: issuer.verifier, database, router: served })
  const headers = {
    authorization: `Bearer ${await issuer.tokenFor('alice', { claims: { scope: 'read' } })}`,
    'content-type': 'application/json',
  }
  const response = await handler(new Request(`http://localhost/trpc/${path}`, { headers, ...init }))
  const answers = [(await response.json()) as Answer[]].flat()
  return answers.map(({ error }) => error?.json.data.code ?? 'ok')
}

test('queries of a batch whose answers are too large together are refused, and the others are answered', async () => {
  expect(await call('small,large,own?batch=1&input={}')).toEqual(['ok', 'ok', 'PAYLOAD_TOO_LARGE'])
  expect(await call('small,small,large?batch=1&input={}')).toEqual(['ok', 'ok', 'ok'])
})

test('a text counts by the bytes that it has in JSON', async () => {
  for (const name of ['controls', 'foreign'])
    expect(await call(`small,${name},${name}?batch=1&input={}`)).toEqual(['ok', 'ok', 'PAYLOAD_TOO_LARGE'])
})

test('the limit holds for the guards of another t, and counts a call behind two guards once', async () => {
  expect(await call('own,own?batch=1&input={}', {}, foreign)).toEqual(['ok', 'PAYLOAD_TOO_LARGE'])
  expect(await call('scoped,scoped?batch=1&input={}', {}, foreign)).toEqual(['ok', 'ok'])
})

test('a call alone may have an answer of any size', async () => {
  expect(await call('large')).toEqual(['ok'])
  expect(await call('large?batch=1&input={}')).toEqual(['ok'])
})

test('a mutation that has run is never refused for its answer', async () => {
  expect(await call('write,write,write?batch=1', { method: 'POST', body: '{}' })).toEqual(['ok', 'ok', 'ok'])
  expect(written).toHaveLength(3)
})

const circular: unknown[] = []
circular.push(circular)

test.each([
  ['a circular value', circular],
  [
    'a Map',
    new Map([
      ['a', large],
      ['b', large],
    ]),
  ],
  ['a Set', new Set([`${large}a`, `${large}b`])],
  ['nested values', { a: [{ b: large }, { c: large }] }],
  ['many numbers', Array.from({ length: 2_000_000 }, () => 1)],
])('%s counts in full', (_, value) => {
  const batch = { ...emptyBatchAnswer(), size: 1 }
  expect(() => countAnswer(batch, { data: value })).toThrow('too large together')
})
