import { once } from 'node:events'
import { createServer } from 'node:http'
import { createTRPCClient, httpBatchLink } from '@trpc/client'
import { initTRPC } from '@trpc/server'
import { createHTTPServer } from '@trpc/server/adapters/standalone'
import { afterAll, beforeAll, describe, expect, expectTypeOf, test, vi } from 'vitest'
import { bearerAuth, createClient } from '../../client/index.js'
import * as bookmarks from '../../examples/bookmarks/router.js'
import { startExpress } from '../../examples/express/main.js'
import type { booksRouter } from '../../examples/getting-started/server.js'
import { createApp as createHonoApp } from '../../examples/hosts/hono.js'
import { createApiServer } from '../../examples/hosts/trpc-adapter.js'
import { type NotesAppRouter, notesAppRouter, up } from '../../examples/notes/router.js'
import {
  type Context,
  createContextFactory,
  createNodeHandler,
  createVerifier,
  reasonOf,
  requireUser,
} from '../../server/index.js'
import type { Reason } from '../../shared/index.js'
import { refusalOf } from '../parts/api-error.js'
import { startApp } from '../parts/app.js'
import { dataDir, emptyDatabase, kindsOfThisRun, openTestDatabase } from '../parts/database.js'
import { blocksOf, readPage, readPages } from '../parts/docs.js'
import { listen, originOf } from '../parts/listen.js'

/** Only signs people up: each example has its own database. */
let issuer: Awaited<ReturnType<typeof startApp>>
beforeAll(async () => {
  issuer = await startApp()
})
afterAll(() => issuer[Symbol.asyncDispose]())

const verifierOf = (url: string) => createVerifier({ issuer: url, audience: url })
const tokenOf = (name: string) => () => issuer.tokenOf(name)

test('every example that a page shows has at most forty lines', async () => {
  const shown = (await readPages()).flatMap(blocksOf).flatMap(({ example }) => example ?? [])
  expect(shown).toContain('examples/express/main.ts')
  const lengths = await Promise.all(
    [...new Set(shown)].map(
      async file => [file, (await readPage(file)).trimEnd().split('\n').length] as const,
    ),
  )
  expect(lengths.filter(([, length]) => length > 40)).toEqual([])
})

test('examples/server migrates an empty database and serves the API', async () => {
  await using empty = await emptyDatabase()
  vi.stubEnv('BETTER_AUTH_URL', issuer.url)
  vi.stubEnv('DATABASE_URL', empty.url)
  vi.stubEnv('PORT', '0')
  vi.spyOn(console, 'log').mockImplementation(() => {})
  const { server } = await import('../../examples/server/main.js')
  try {
    if (!server.listening) await once(server, 'listening')
    const as = (name: string) => createClient({ url: `${originOf(server)}/trpc`, getToken: tokenOf(name) })
    const { id } = await as('ann').tasks.create.mutate({ title: 'milk' })
    expect((await as('ann').tasks.list.query()).items.map(task => task.id)).toEqual([id])
    expect((await as('ben').tasks.list.query()).items).toEqual([])
  } finally {
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
    server.closeAllConnections()
    await new Promise(closed => server.close(closed))
  }
})

test('examples/getting-started shows each caller their own books', async () => {
  await using empty = await emptyDatabase()
  vi.stubEnv('BETTER_AUTH_URL', issuer.url)
  vi.stubEnv('DATABASE_URL', empty.url)
  vi.stubEnv('PORT', '0')
  const log = vi.spyOn(console, 'log').mockImplementation(() => {})
  const { server } = await import('../../examples/getting-started/server.js')
  try {
    if (!server.listening) await once(server, 'listening')
    const url = `${originOf(server)}/trpc`
    vi.stubEnv('BOOKS_URL', url)
    vi.stubEnv('TOKEN', await issuer.tokenOf('ann'))
    const { api } = await import('../../examples/getting-started/call.js')
    expect(log).toHaveBeenLastCalledWith([{ title: 'A Room of One’s Own' }])
    expect(await api.list.query()).toHaveLength(1)
    const ben = createClient<typeof booksRouter>({ url, getToken: tokenOf('ben') })
    expect(await ben.list.query()).toEqual([])
  } finally {
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
    server.closeAllConnections()
    await new Promise(closed => server.close(closed))
  }
})

test('examples/client calls the API as the person who is signed in', async () => {
  const { fetch } = globalThis
  vi.stubGlobal('fetch', async (input: string | URL | Request, init?: RequestInit) => {
    const { pathname, search } = new URL(input instanceof Request ? input.url : input)
    if (pathname === '/api/auth/token') return Response.json({ token: await issuer.tokenOf('ann') })
    return fetch(`${issuer.url}${pathname}${search}`, init)
  })
  try {
    const { api } = await import('../../examples/client/main.js')
    expect(await api.me.query()).toMatchObject({ name: 'ann' })
  } finally {
    vi.unstubAllGlobals()
  }
})

test('examples/node-client signs somebody up and calls the API as them', async () => {
  vi.stubEnv('API_URL', issuer.url)
  vi.spyOn(console, 'log').mockImplementation(() => {})
  try {
    const { api } = await import('../../examples/node-client/main.js')
    expect(await api.me.query()).toMatchObject({ name: 'Ann' })
  } finally {
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
  }
})

test('examples/bookmarks shows each caller their own bookmarks', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  await bookmarks.up(database.admin)
  const verifier = verifierOf(issuer.url)
  const router = bookmarks.bookmarksRouter
  await using host = await listen(createServer(createNodeHandler({ verifier, database, router })))
  const as = (name: string) =>
    createClient<typeof router>({ url: `${host.url}/trpc`, getToken: tokenOf(name) })
  const url = 'https://example.com/'
  const { id } = await issuer.as('ann').me.query()
  await database.forUser(id).insertInto('bookmarks').values({ url }).execute()
  expect(await as('ann').list.query()).toEqual([{ url }])
  expect(await as('cleo').list.query()).toEqual([])
})

test('examples/verifier/minimal answers the caller, and 401 without a token', async () => {
  vi.stubEnv('BETTER_AUTH_URL', issuer.url)
  vi.stubEnv('PORT', '0')
  const { server } = await import('../../examples/verifier/minimal.js')
  try {
    if (!server.listening) await once(server, 'listening')
    const url = `${originOf(server)}/me`
    const headers = { authorization: `Bearer ${await issuer.tokenOf('ann')}` }
    expect(await (await fetch(url, { headers })).json()).toMatchObject({ name: 'ann' })
    const refused = await fetch(url)
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
  } finally {
    vi.unstubAllEnvs()
    server.closeAllConnections()
    await new Promise(closed => server.close(closed))
  }
})

describe('examples/hosts', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase('PostgreSQL')
  })
  afterAll(() => database[Symbol.asyncDispose]())

  /** Serves both kinds of people: one with a token, one without. */
  async function expectCalls(url: string, fetch: typeof globalThis.fetch = globalThis.fetch) {
    const ann = createClient({ url, cache: true, getToken: tokenOf('ann'), fetch })
    const { id } = await ann.tasks.create.mutate({ title: 'milk' })
    expect(await ann.tasks.get.query({ id })).toMatchObject({ title: 'milk' })
    const refused = await fetch(`${url}/me`)
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
  }

  test('Hono', async () => {
    const app = createHonoApp({ verifier: verifierOf(issuer.url), database })
    await expectCalls('http://localhost/trpc', async (input, init) => app.request(new Request(input, init)))
    const preflight = await app.request('/trpc/me', {
      method: 'OPTIONS',
      headers: { origin: 'https://app.example.com', 'access-control-request-method': 'GET' },
    })
    expect(preflight.headers.get('access-control-allow-origin')).toBe('https://app.example.com')
  })

  test('Next.js', async () => {
    vi.stubEnv('BETTER_AUTH_URL', issuer.url)
    vi.stubEnv('DATABASE_URL', database.url ?? '')
    try {
      const { GET, POST } = await import('../../examples/hosts/next.js')
      await expectCalls('http://localhost/api/trpc', (input, init) => {
        const request = new Request(input, init)
        return request.method === 'POST' ? POST(request) : GET(request)
      })
    } finally {
      vi.unstubAllEnvs()
    }
  })

  test('tRPC’s own adapter', async () => {
    await using host = await listen(createApiServer({ verifier: verifierOf(issuer.url), database }))
    await expectCalls(host.url)
  })
})

describe('examples/express', () => {
  let folder: Awaited<ReturnType<typeof dataDir>>
  let host: Awaited<ReturnType<typeof startExpress>>
  let origin: string
  beforeAll(async () => {
    folder = await dataDir()
    host = await startExpress({ issuer: issuer.url, dataDir: folder.path, port: 0 })
    origin = originOf(host.server)
  })
  afterAll(async () => {
    await host.close()
    await folder[Symbol.asyncDispose]()
  })
  const as = (name: string) => createClient({ url: `${origin}/trpc`, getToken: tokenOf(name) })

  test('the host’s own route answers beside the API', async () => {
    const answer = await fetch(`${origin}/hello`)
    expect(await answer.json()).toEqual({ hello: 'from the host' })
    expect(await as('ann').health.query()).toEqual({ ok: true })
  })

  test('two people write, and neither sees the rows of the other', async () => {
    const [ann, ben] = [as('ann'), as('ben')]
    const [milk, bread] = await Promise.all([
      ann.tasks.create.mutate({ title: 'milk', dueAt: new Date('2030-01-01') }),
      ann.tasks.create.mutate({ title: 'bread' }),
      ben.tasks.create.mutate({ title: 'call mum' }),
    ])
    const titles = async (api: typeof ann) =>
      (await api.tasks.list.query()).items.map(task => task.title).sort()
    expect(await titles(ann)).toEqual(['bread', 'milk'])
    expect(await titles(ben)).toEqual(['call mum'])
    expect(await ann.tasks.get.query({ id: milk.id })).toEqual(milk)
    expect((await refusalOf(ben.tasks.delete.mutate({ id: bread.id }))).data?.code).toBe('NOT_FOUND')
  })

  test('a call without a token is refused with its reason and the challenge', async () => {
    const answer = await fetch(`${origin}/trpc/tasks.create`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ json: { title: 'milk' } }),
    })
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    expect(await answer.json()).toMatchObject({ error: { json: { data: { reason: 'missing' } } } })
  })
})

describe.each(kindsOfThisRun)('examples/notes on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  let host: Awaited<ReturnType<typeof listen>>
  beforeAll(async () => {
    database = await openTestDatabase(kind)
    await up(database.admin)
    const verifier = createVerifier({ issuer: issuer.url, audience: issuer.url })
    host = await listen(createServer(createNodeHandler({ verifier, database, router: notesAppRouter })))
  })
  afterAll(async () => {
    await host[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })
  const as = (name: string) =>
    createClient<NotesAppRouter>({ url: `${host.url}/trpc`, getToken: tokenOf(name) })

  test('a router without a WHERE shows each caller only their own notes', async () => {
    const [ann, ben] = [as('ann'), as('ben')]
    const note = await ann.notes.add.mutate({ body: 'mine' })
    expect(await ann.notes.list.query()).toEqual([{ id: note.id, body: 'mine' }])
    expect(await ben.notes.list.query()).toEqual([])
    await ben.notes.add.mutate({ body: 'and mine' })
    expect((await ben.notes.list.query()).map(({ body }) => body)).toEqual(['and mine'])
    expect((await ann.notes.list.query()).map(({ body }) => body)).toEqual(['mine'])
    expectTypeOf(ann.notes.list.query).returns.resolves.toEqualTypeOf<{ id: string; body: string }[]>()
  })

  test('the caller’s id is in the row, whatever the input says', async () => {
    const { id } = await verifierOf(issuer.url).verify(await issuer.tokenOf('eve'))
    const forged = Object.assign({ body: 'forged' }, { user_id: 'ann' })
    const note = await as('eve').notes.add.mutate(forged)
    const rows = await database.admin
      .selectFrom('notes')
      .select('user_id')
      .where('id', '=', note.id)
      .execute()
    expect(rows).toEqual([{ user_id: id }])
  })

  test('one router serves notes and tasks', async () => {
    const cleo = as('cleo')
    await Promise.all([
      cleo.notes.add.mutate({ body: 'a note' }),
      cleo.tasks.create.mutate({ title: 'a task' }),
    ])
    const [notes, tasks] = await Promise.all([cleo.notes.list.query(), cleo.tasks.list.query()])
    expect([notes.map(({ body }) => body), tasks.items.map(({ title }) => title)]).toEqual([
      ['a note'],
      ['a task'],
    ])
  })

  test('a call without a token is refused, and a wrong input names its fields', async () => {
    const stranger = createClient<NotesAppRouter>({ url: `${host.url}/trpc`, getToken: () => null })
    expect((await refusalOf<NotesAppRouter>(stranger.notes.list.query())).data?.reason).toBe('missing')
    const wrong = await refusalOf<NotesAppRouter>(as('ann').notes.add.mutate({ body: '' }))
    expect(wrong.data?.fields).toHaveProperty('body')
  })
})

describe('requireUser() on a foreign t', () => {
  const t = initTRPC.context<Context & { tenant: string }>().create({
    errorFormatter: ({ shape, error }) => ({ ...shape, data: { ...shape.data, why: reasonOf(error) } }),
  })
  const shopRouter = t.router({
    open: t.procedure.query(({ ctx }) => ctx.tenant),
    whoami: t.procedure.concat(requireUser()).query(({ ctx }) => ({ ...ctx.user, tenant: ctx.tenant })),
  })

  async function startShop() {
    const database = await openTestDatabase('PostgreSQL')
    const createContext = createContextFactory({ verifier: verifierOf(issuer.url), database })
    const host = await listen(
      createHTTPServer({
        router: shopRouter,
        createContext: async options => ({ ...(await createContext(options)), tenant: 'acme' }),
      }),
    )
    return {
      as(getToken: () => Promise<string | null>) {
        const { link, headers } = bearerAuth({ cache: true, getToken })
        const terminating = httpBatchLink<typeof shopRouter>({ url: host.url, headers })
        return createTRPCClient<typeof shopRouter>({ links: [link, terminating] })
      },
      async [Symbol.asyncDispose]() {
        await host[Symbol.asyncDispose]()
        await database[Symbol.asyncDispose]()
      },
    }
  }

  test('two people get in as themselves, and a stranger gets the reason from the foreign formatter', async () => {
    await using shop = await startShop()
    const [ann, ben] = await Promise.all([
      shop.as(tokenOf('ann')).whoami.query(),
      shop.as(tokenOf('ben')).whoami.query(),
    ])
    expect([ann, ben]).toMatchObject([
      { name: 'ann', tenant: 'acme' },
      { name: 'ben', tenant: 'acme' },
    ])
    expect(ann.id).not.toBe(ben.id)
    const stranger = shop.as(async () => null)
    const { data } = await refusalOf<typeof shopRouter>(stranger.whoami.query())
    expect(data).toMatchObject({ code: 'UNAUTHORIZED', why: 'missing' })
    expectTypeOf(data?.why).toEqualTypeOf<Reason | undefined>()
    expect(await stranger.open.query()).toBe('acme')
  })
})
