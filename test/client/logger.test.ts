import { inspect } from 'node:util'
import {
  createTRPCClient,
  httpBatchLink,
  httpBatchStreamLink,
  httpLink,
  loggerLink,
  type TRPCLink,
} from '@trpc/client'
import { describe, expect, test } from 'vitest'
import { bearerAuth, createClient } from '../../client/index.js'
import type { AppRouter } from '../../server/index.js'
import { transformer } from '../../shared/index.js'
import { refusalOf } from '../parts/api-error.js'
import { startTokenApi, tokensOf } from '../parts/token-api.js'

type Link = TRPCLink<AppRouter>

/** A console that records its arguments as inspected text (hidden properties too) and as JSON. */
function startConsole() {
  const printed: string[] = []
  const kept: unknown[][] = []
  const seen = new Set<unknown>()
  const once = (_: string, value: unknown) => {
    if (typeof value !== 'object' || value === null) return value
    if (seen.has(value)) return undefined
    seen.add(value)
    return value
  }
  const everything = {
    showHidden: true,
    depth: Number.POSITIVE_INFINITY,
    maxStringLength: null,
    maxArrayLength: null,
  }
  const keep = (...args: unknown[]) => {
    kept.push(args)
    look(args)
  }
  const look = (args: unknown) => {
    seen.clear()
    printed.push(inspect(args, everything), JSON.stringify(args, once))
  }
  return {
    console: { log: keep, error: keep },
    /** Everything that was printed, including later changes of the printed objects. */
    text() {
      kept.forEach(look)
      return printed.join('\n')
    },
    lines: () => kept.length,
  }
}

/** A link that passes on a copy of the operation, like links that add something to it. */
const copying: Link =
  () =>
  ({ op, next }) =>
    next({ ...op, context: { ...op.context, traced: true } })

const terminating = { httpBatchLink, httpLink, httpBatchStreamLink }
const variants = [
  { colorMode: 'ansi', withContext: true },
  { colorMode: 'ansi', withContext: false },
  { colorMode: 'css', withContext: true },
] as const

function startClient(url: string, getToken: () => Promise<string | null>, last: keyof typeof terminating) {
  const shown = startConsole()
  const auth = bearerAuth({ cache: true, getToken })
  const loggers = variants.map(variant => loggerLink<AppRouter>({ ...variant, console: shown.console }))
  const end = terminating[last]<AppRouter>({ url, transformer, headers: auth.headers })
  // Before and after our link.
  const links = [...loggers, auth.link, ...loggers, copying, ...loggers, end]
  return { client: createTRPCClient<AppRouter>({ links }), shown, auth }
}

function tells(text: string, token: string | undefined) {
  return token?.split('.').some(part => text.includes(part))
}

describe.each(['httpBatchLink', 'httpLink', 'httpBatchStreamLink'] as const)('by %s', last => {
  test('no logger prints the token of an answered call', async () => {
    await using api = await startTokenApi()
    const { calls, getToken } = tokensOf(() => api.mint({}))
    const { client, shown } = startClient(api.url, getToken, last)
    expect(await client.me.query()).toEqual({ id: 'alice' })
    expect(calls.count).toBe(1)
    expect(shown.lines()).toBe(18)
    expect(tells(shown.text(), api.requests[0]?.token)).toBe(false)
  })

  test('no logger prints the tokens of a call that is refused and sent again', async () => {
    await using api = await startTokenApi()
    const { getToken } = tokensOf(
      () => api.mint({ kid: 'other' }),
      () => api.mint({}),
    )
    const { client, shown } = startClient(api.url, getToken, last)
    expect(await client.me.query()).toEqual({ id: 'alice' })
    expect(api.requests).toHaveLength(2)
    for (const { token } of api.requests) {
      expect(token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/)
      expect(tells(shown.text(), token)).toBe(false)
    }
  })

  test('no logger prints the tokens of a call that is refused twice', async () => {
    await using api = await startTokenApi()
    const { getToken } = tokensOf(() => api.mint({ kid: 'other' }))
    const { client, shown } = startClient(api.url, getToken, last)
    expect((await refusalOf(client.me.query())).data).toMatchObject({ reason: 'unknown_key' })
    expect(api.requests).toHaveLength(2)
    for (const { token } of api.requests) expect(tells(shown.text(), token)).toBe(false)
  })

  test('no logger prints the token of a call that fails for another reason', async () => {
    await using api = await startTokenApi()
    const { getToken } = tokensOf(() => api.mint({}))
    const { client, shown } = startClient(api.url, getToken, last)
    await refusalOf(client.tasks.create.mutate({ title: '' }))
    expect(tells(shown.text(), api.requests[0]?.token)).toBe(false)
  })
})

test('calls that share a context object are distinguished, and the object is not changed', async () => {
  await using api = await startTokenApi()
  const { getToken, calls } = tokensOf(
    () => api.mint({ kid: 'other' }),
    () => api.mint({}),
  )
  const { client } = startClient(api.url, getToken, 'httpBatchLink')
  const context = Object.freeze({ page: 'start' })
  const answers = await Promise.all([
    client.me.query(undefined, { context }),
    client.me.query(undefined, { context }),
  ])
  expect(answers).toEqual([{ id: 'alice' }, { id: 'alice' }])
  expect(calls).toMatchObject({ count: 2, most: 1 })
})

test('through links that copy the operation no call of one user is sent as the next user', async () => {
  await using api = await startTokenApi()
  const { getToken } = tokensOf(
    () => api.mint({ sub: 'alice', kid: 'other' }),
    () => api.mint({ sub: 'bob' }),
  )
  const { client, auth } = startClient(api.url, getToken, 'httpBatchLink')
  const call = refusalOf(client.me.query())
  auth.clear()
  await call
  expect(api.requests.map(({ token }) => token)).not.toContainEqual(expect.stringContaining('.'))
})

test.each<[string, RequestInit['body']]>([
  ['a refusal', undefined],
  ['an answer that is not from tRPC', '{}'],
])(
  'the error of %s does not print the inputs of its batch, and keeps its response or status',
  async (_, body) => {
    await using api = await startTokenApi()
    const answering: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      if (body === undefined) return response
      const other = new Response(body, { headers: { 'content-type': 'application/json' } })
      return Object.defineProperty(other, 'url', { value: response.url })
    }
    const client = createClient({ url: api.url, fetch: answering, cache: true, getToken: () => null })
    const [error] = await Promise.all([
      refusalOf(client.me.query()),
      refusalOf(client.tasks.list.query({ search: 'PRIVATE' })),
    ])
    expect(inspect(error, { depth: null })).not.toContain('PRIVATE')
    expect(JSON.stringify(error)).not.toContain('PRIVATE')
    if (body === undefined)
      expect(error.meta?.response).toMatchObject({ url: expect.stringContaining('PRIVATE') })
    else expect(error.cause).toMatchObject({ status: 200 })
  },
)
