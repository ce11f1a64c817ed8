import { dehydrate, hydrate } from '@tanstack/react-query'
import { TRPCClientError } from '@trpc/client'
import { expect, test } from 'vitest'
import { UserChangedError } from '../../../client/index.js'
import { createQueryClient } from '../../../client/react/index.js'

const { retry, retryDelay } = createQueryClient().getDefaultOptions().queries ?? {}
const failed = (
  data: object | undefined,
  { cause, headers = {} }: { cause?: Error; headers?: Record<string, string> } = {},
) =>
  Object.assign(new TRPCClientError('failed', cause && { cause }), {
    data,
    meta: { response: new Response(null, { headers }) },
  })
const retries = (error: Error) => {
  if (typeof retry !== 'function') throw new TypeError('retry is a function')
  return [0, 1, 2, 3].filter(failures => retry(failures, error)).length
}
const delay = (failures: number, error: Error) => {
  if (typeof retryDelay !== 'function') throw new TypeError('retryDelay is a function')
  return retryDelay(failures, error)
}

test.each([
  ['no answer', failed(undefined), 3],
  ['500', failed({ httpStatus: 500 }), 3],
  ['503', failed({ httpStatus: 503 }), 3],
  ['429', failed({ httpStatus: 429 }), 3],
  ['400', failed({ httpStatus: 400 }), 0],
  ['401', failed({ httpStatus: 401 }), 0],
  ['404', failed({ httpStatus: 404 }), 0],
  ['409', failed({ httpStatus: 409 }), 0],
  ['another user', failed(undefined, { cause: new UserChangedError() }), 0],
  ['an error of the page', new Error('bug'), 0],
])('a query is repeated as often as it can help: %s', (_, error, times) => {
  expect(retries(error)).toBe(times)
})

test('the wait doubles up to ten seconds, and is never shorter than Retry-After', () => {
  expect([0, 1, 2, 5].map(failures => delay(failures, failed({ httpStatus: 503 })))).toEqual([
    1_000, 2_000, 4_000, 10_000,
  ])
  const busy = failed({ httpStatus: 503 }, { headers: { 'retry-after': '30' } })
  expect(delay(0, busy)).toBe(30_000)
  const dated = failed({ httpStatus: 503 }, { headers: { 'retry-after': 'Sat, 28 Nov 2026 12:00:00 GMT' } })
  expect(delay(0, dated)).toBe(1_000)
})

test('what a server component has fetched arrives in the page with its dates, and is not fetched again at once', () => {
  const [server, page] = [createQueryClient(), createQueryClient()]
  const task = { title: 'milk', dueAt: new Date('2030-01-01') }
  server.setQueryData(['task'], task)
  hydrate(page, JSON.parse(JSON.stringify(dehydrate(server))))
  expect(page.getQueryData(['task'])).toEqual(task)
  expect(
    page
      .getQueryCache()
      .find({ queryKey: ['task'] })
      ?.isStaleByTime(5_000),
  ).toBe(false)
})

test('options of the page win', () => {
  const client = createQueryClient({ defaultOptions: { queries: { retry: false, gcTime: 1 } } })
  expect(client.getDefaultOptions().queries).toMatchObject({ retry: false, gcTime: 1, staleTime: 5_000 })
})
