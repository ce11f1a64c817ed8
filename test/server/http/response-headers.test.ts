import { expect, inject, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { createFetchHandler, publicProcedure, router, TokenError } from '../../../server/index.js'

const streaming = router({
  one: publicProcedure.query(() => 'one'),
  two: publicProcedure.subscription(async function* () {
    yield 'two'
  }),
})

test.each([
  ['a stream of calls', '/trpc/one?batch=1&input={}', { 'trpc-accept': 'application/jsonl' }, '"one"'],
  ['a subscription', '/trpc/two', { accept: 'text/event-stream' }, '"two"'],
])('%s has no header of the connection, which HTTP/2 refuses', async (_, path, headers, expected) => {
  // The pool connects on demand, so nothing connects here.
  const database = await openDatabase({ url: inject('postgresUrl') })
  const verifier = { verify: () => Promise.reject(new TokenError('signature')) }
  const handler = createFetchHandler({ verifier, database, router: streaming })
  const response = await handler(new Request(`http://localhost${path}`, { headers: new Headers(headers) }))
  expect(await response.text()).toContain(expected)
  expect(response.headers.get('transfer-encoding')).toBeNull()
  expect(response.headers.get('connection')).toBeNull()
  await database.close()
})
