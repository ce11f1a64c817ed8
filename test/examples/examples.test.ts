import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createTRPCClient, httpBatchLink } from '@trpc/client'
import { initTRPC } from '@trpc/server'
import { createHTTPServer } from '@trpc/server/adapters/standalone'
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from 'vitest'
import { bearerAuth, createClient } from '../../client/index.js'
import { startExpress } from '../../examples/express/main.js'
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
import { databaseKinds, dataDir, openTestDatabase } from '../parts/database.js'
import { listen, originOf } from '../parts/listen.js'

/** Signs people up, and nothing else: each example has a database of its own. */
let issuer: Awaited<ReturnType<typeof startApp>>
beforeAll(async () => {
  issuer = await startApp()
})
afterAll(() => issuer[Symbol.asyncDispose]())

const verifierOf = (url: string) => createVerifier({ issuer: url, audience: url })
const tokenOf = (name: string) => () => issuer.tokenOf(name)

test.each(['express/main.ts', 'notes/router.ts', 'concurrent-index/main.ts'])(
  'examples/%s has at most forty lines',
  async name => {
    const source = await readFile(new URL(`../../examples/${name}`, import.meta.url), 'utf8')
    expect(source.trimEnd().split('\n').length).toBeLessThanOrEqual(40)
  },
)

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

  test('two people write through the host’s JSON parser, and neither sees the other’s', async () => {
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

describe.each(databaseKinds)('examples/notes on %s', kind => {
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

  test('a router that forgets the WHERE shows each caller their own notes', async () => {
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

  test('notes and tasks stand beside each other', async () => {
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

  test('a note without a token is refused, and a wrong one has its fields', async () => {
    const stranger = createClient<NotesAppRouter>({ url: `${host.url}/trpc`, getToken: () => null })
    expect((await refusalOf<NotesAppRouter>(stranger.notes.list.query())).data?.reason).toBe('missing')
    const wrong = await refusalOf<NotesAppRouter>(as('ann').notes.add.mutate({ body: '' }))
    expect(wrong.data?.fields).toHaveProperty('body')
  })
})

describe('requireUser() on a t of somebody else’s', () => {
  const t = initTRPC.context<Context & { tenant: string }>().create({
    errorFormatter: ({ shape, error }) => ({ ...shape, data: { ...shape.data, why: reasonOf(error) } }),
  })
  const shopRouter = t.router({
    open: t.procedure.query(({ ctx }) => ctx.tenant),
    whoami: t.procedure.concat(requireUser()).query(({ ctx }) => ({ ...ctx.user, tenant: ctx.tenant })),
  })

  async function startShop() {
    const database = await openTestDatabase('embedded')
    const createContext = createContextFactory({ verifier: verifierOf(issuer.url), database })
    const host = await listen(
      createHTTPServer({
        router: shopRouter,
        createContext: async options => ({ ...(await createContext(options)), tenant: 'acme' }),
      }),
    )
    return {
      as(getToken: () => Promise<string | null>) {
        const { link, headers } = bearerAuth({ getToken })
        const terminating = httpBatchLink<typeof shopRouter>({ url: host.url, headers })
        return createTRPCClient<typeof shopRouter>({ links: [link, terminating] })
      },
      async [Symbol.asyncDispose]() {
        await host[Symbol.asyncDispose]()
        await database[Symbol.asyncDispose]()
      },
    }
  }

  test('lets two people in as themselves, and tells a stranger why not through its own formatter', async () => {
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
