import { createTRPCClient, httpBatchLink, TRPCClientError } from '@trpc/client'
import { type inferRouterOutputs, initTRPC } from '@trpc/server'
import { createHTTPServer } from '@trpc/server/adapters/standalone'
import { octetInputParser } from '@trpc/server/http'
import { afterAll, beforeAll, describe, expect, expectTypeOf, test, vi } from 'vitest'
import { z } from 'zod'
import { batchLimits, bearerAuth, createClient, isApiError } from '../../client/index.js'
import { type AppRouter, publicProcedure, router } from '../../server/index.js'
import {
  type Reason,
  type RouterInputs,
  type RouterOutputs,
  type Task,
  transformer,
} from '../../shared/index.js'
import { refusalOf } from '../parts/api-error.js'
import { startApp } from '../parts/app.js'
import { listen } from '../parts/listen.js'
import { someOf } from '../parts/some-of.js'
import { startTokenApi } from '../parts/token-api.js'

let app: Awaited<ReturnType<typeof startApp>>
beforeAll(async () => {
  app = await startApp()
})
afterAll(() => app[Symbol.asyncDispose]())

/** A user's client, and the URLs of its requests. */
function recordedClient(name: string) {
  const urls: string[] = []
  const api = createClient({
    url: `${app.url}/trpc`,
    cache: true,
    getToken: () => app.tokenOf(name),
    fetch(input, init) {
      urls.push(input instanceof Request ? input.url : String(input))
      return fetch(input, init)
    },
  })
  return { api, urls }
}

test.each(someOf([51, 200], 2))('links as in the docs take %i calls at once', async count => {
  const auth = bearerAuth({ getToken: () => app.tokenOf('linked'), cache: true })
  const url = `${app.url}/trpc`
  const api = createTRPCClient<AppRouter>({
    links: [auth.link, httpBatchLink({ url, transformer, headers: auth.headers, ...batchLimits })],
  })
  const calls = Array.from({ length: count }, () => api.tasks.list.query({ search: 'x'.repeat(100) }))
  expect(await Promise.all(calls)).toHaveLength(count)
})

const sixty = Array.from({ length: 60 }, (_, index) => index)

describe('parallel calls', () => {
  test('sixty queries are answered in two requests', async () => {
    const { api, urls } = recordedClient('quinn')
    const people = await Promise.all(sixty.map(() => api.me.query()))
    expect(people.map(person => person.name)).toEqual(sixty.map(() => 'quinn'))
    expect(urls).toHaveLength(2)
  })

  if (process.env.LONG_TESTS) {
    test('sixty mutations are answered in four requests', async () => {
      const { api, urls } = recordedClient('mia')
      const made = await Promise.all(sixty.map(n => api.tasks.create.mutate({ title: `task ${n}` })))
      expect(made.map(task => task.title)).toEqual(sixty.map(n => `task ${n}`))
      expect(urls).toHaveLength(4)
      const { items } = await api.tasks.list.query({ limit: 100 })
      expect(items).toHaveLength(60)
    })

    test('sixty of the largest tasks are created: no body is over 1 MB', async () => {
      const { api } = recordedClient('maxima')
      const largest = { title: 'x'.repeat(500), notes: '\u0001'.repeat(10_000) }
      const made = await Promise.all(sixty.map(() => api.tasks.create.mutate(largest)))
      expect(made.filter(task => task.notes === largest.notes)).toHaveLength(60)
    })

    test('sixty queries with the longest search are answered: no URL is over 8,000 characters', async () => {
      const { api, urls } = recordedClient('ursula')
      await api.tasks.create.mutate({ title: '€'.repeat(200) })
      const pages = await Promise.all(sixty.map(() => api.tasks.list.query({ search: '€'.repeat(200) })))
      expect(pages.map(page => page.items.length)).toEqual(sixty.map(() => 1))
      expect(urls.filter(url => url.length > 8_000)).toEqual([])
    })
  }

  test('parallel queries and mutations each get their own answer', async () => {
    const api = app.as('mixed')
    const [person, task, health, refusal] = await Promise.all([
      api.me.query(),
      api.tasks.create.mutate({ title: 'milk' }),
      api.health.query(),
      refusalOf(api.tasks.get.query({ id: crypto.randomUUID() })),
    ])
    expect([person.name, task.title, health.ok, refusal.data?.code]).toEqual([
      'mixed',
      'milk',
      true,
      'NOT_FOUND',
    ])
  })
})

test.each([true, false])('a form and a stream of bytes are sent as they are, with cache: %s', async cache => {
  const uploads = router({
    form: publicProcedure
      .input(z.instanceof(FormData))
      .mutation(({ input, ctx }) => [ctx.user?.id, input.get('title')]),
    bytes: publicProcedure
      .input(octetInputParser)
      .mutation(async ({ input }) => await new Response(input).text()),
  })
  await using other = await startTokenApi(uploads)
  const getToken = () => other.mint({ sub: 'uma' })
  const api = createClient<typeof uploads>({ url: other.url, cache, getToken })
  const form = new FormData()
  form.set('title', 'Holiday')
  const answers = [
    api.form.mutate(form),
    api.bytes.mutate(new Blob(['a blob'])),
    api.bytes.mutate(new TextEncoder().encode('bytes')),
  ]
  expect(await Promise.all(answers)).toEqual([['uma', 'Holiday'], 'a blob', 'bytes'])
})

describe('errors', () => {
  test('a refusal has a typed reason', async () => {
    const stranger = createClient({ url: `${app.url}/trpc`, getToken: () => null })
    const { data } = await refusalOf(stranger.me.query())
    expect(data).toMatchObject({ code: 'UNAUTHORIZED', httpStatus: 401, reason: 'missing' })
    expectTypeOf(data?.reason).toEqualTypeOf<Reason | undefined>()
  })

  test('a wrong input has typed messages by field', async () => {
    const { data } = await refusalOf(app.as('fay').tasks.create.mutate({ title: ' ' }))
    expect(data).toMatchObject({ code: 'BAD_REQUEST', fields: { title: [expect.any(String)] } })
    expectTypeOf(data?.fields).toEqualTypeOf<Record<string, string[]> | undefined>()
  })

  test('a conflict has the typed current task with Date values', async () => {
    const carol = app.as('carol')
    const { id, version } = await carol.tasks.create.mutate({ title: 'milk', dueAt: new Date('2030-01-01') })
    const moved = await carol.tasks.update.mutate({ id, version, completed: true })
    const { data } = await refusalOf(carol.tasks.update.mutate({ id, version, title: 'bread' }))
    expect(data?.code).toBe('CONFLICT')
    expect(data?.current).toEqual(moved)
    expectTypeOf(data?.current).toEqualTypeOf<Task | undefined>()
  })

  test('isApiError narrows errors of calls only', () => {
    const thrown: unknown = new TRPCClientError<AppRouter>('no')
    expect([thrown, new Error('no'), null, 'no'].map(error => isApiError(error))).toEqual([
      true,
      false,
      false,
      false,
    ])
    expectTypeOf(isApiError).guards.toEqualTypeOf<TRPCClientError<AppRouter>>()
  })

  test('an unreachable server is a client error without data', async () => {
    const api = createClient({ url: 'http://127.0.0.1:1/trpc', cache: true, getToken: () => null })
    const error = await refusalOf(api.health.query())
    expect(error.data).toBeUndefined()
    expect(error.cause).toBeInstanceOf(Error)
  })
})

describe('an API with another transformer', () => {
  const t = initTRPC.create()
  const plain = t.router({
    me: t.procedure.query(() => ({ id: 'alice' })),
    nothing: t.procedure.query(() => {}),
    fails: t.procedure.query(() => Promise.reject(new Error('It fails.'))),
  })

  test.each(['me', 'nothing', 'fails'] as const)('is named by the error of %s', async name => {
    await using other = await listen(createHTTPServer({ router: plain }))
    const api = createClient<typeof plain>({ url: other.url, cache: true, getToken: () => null })
    const { message } = await refusalOf<typeof plain>(api[name].query())
    expect(message).toContain('does not use the transformer of trpc-bearer/shared')
  })
})

describe('types', () => {
  test('a client has the types of appRouter by default', () => {
    const api = app.as('tom')
    expectTypeOf(api.tasks.get.query).returns.resolves.toEqualTypeOf<Task>()
    expectTypeOf(api.tasks.update.mutate).parameter(0).toEqualTypeOf<RouterInputs['tasks']['update']>()
    expectTypeOf<inferRouterOutputs<AppRouter>['tasks']>().toEqualTypeOf<RouterOutputs['tasks']>()
    // @ts-expect-error there is no such procedure
    expect(() => api.tasks.archive.query).not.toThrow()
  })

  test('a client has the types of another router, and dates arrive as dates', async () => {
    const otherRouter = router({
      dayAfter: publicProcedure
        .input(z.object({ date: z.date() }))
        .query(({ input }) => new Date(input.date.getTime() + 86_400_000)),
    })
    await using other = await startTokenApi(otherRouter)
    const api = createClient<typeof otherRouter>({ url: other.url, cache: true, getToken: () => null })
    const answer = await api.dayAfter.query({ date: new Date('2030-01-01') })
    expect(answer).toEqual(new Date('2030-01-02'))
    expectTypeOf(answer).toEqualTypeOf<Date>()
    // @ts-expect-error this router has no tasks
    const missing = await refusalOf<typeof otherRouter>(api.tasks.list.query())
    expect(missing.data?.code).toBe('NOT_FOUND')
    expectTypeOf(missing.data?.reason).toEqualTypeOf<Reason | undefined>()
  })
})

describe('a url that is a path', () => {
  const clientOf = (url: string, fetch = globalThis.fetch) =>
    createClient({ url, fetch, getToken: () => null })

  test('belongs to the origin of the page', async () => {
    vi.stubGlobal('location', { href: `${app.url}/page` })
    expect(await clientOf('/trpc').health.query()).toEqual({ ok: true })
    vi.unstubAllGlobals()
  })

  test('does not break the rendering of a page on a server, and a call there says what to do', async () => {
    const { message } = await refusalOf(clientOf('/api/trpc').tasks.list.query({ search: 'private' }))
    expect(message).toBe(
      '/api/trpc/tasks.list is a path, which only a page can resolve: on a server give createClient the whole URL.',
    )
  })

  test.each(['localhost:4000/trpc', 'ftp://localhost/trpc', '//localhost/trpc', 'trpc', ''])(
    '%j is refused',
    url => {
      expect(() => clientOf(url)).toThrow('is not the URL of an API')
    },
  )
})
