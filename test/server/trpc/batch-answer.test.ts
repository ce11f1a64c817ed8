import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFetchHandler, protectedProcedure, publicProcedure, router } from '../../../server/index.js'
import { countAnswer } from '../../../server/trpc/batch-answer.js'
import { openTestDatabase } from '../../parts/database.js'
import { startIssuer } from '../../parts/issuer.js'

const large = 'x'.repeat(6_000_000)
const written: string[] = []
const app = router({
  large: publicProcedure.query(() => ({ text: large })),
  own: protectedProcedure.query(() => ({ text: large })),
  small: publicProcedure.query(() => 'small'),
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

type Answer = { error?: { json: { data: { code: string } } } }

async function call(path: string, init: RequestInit = {}) {
  const handler = createFetchHandler({ verifier: issuer.verifier, database, router: app })
  const headers = {
    authorization: `Bearer ${await issuer.tokenFor('alice')}`,
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
  const batch = { size: 1 }
  expect(() => countAnswer(batch, value)).toThrow('too large together')
})
