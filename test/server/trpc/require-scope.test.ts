import { initTRPC } from '@trpc/server'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import { bearerAuth, createClient } from '../../../client/index.js'
import { type OpenDatabase, openDatabase } from '../../../db/index.js'
import {
  createFetchHandler,
  createVerifier,
  protectedProcedure,
  reasonOf,
  requireScope,
  router,
  TokenError,
} from '../../../server/index.js'
import { refusalOf } from '../../parts/api-error.js'
import { claimsFrom, makeKey } from '../../parts/issuer.js'

const issuer = 'https://auth.example.com'
const key = await makeKey()
const scoped = router({
  me: protectedProcedure.query(({ ctx }) => ctx.user),
  edit: protectedProcedure
    .concat(requireScope('tasks:read', 'tasks:write'))
    .query(({ ctx }) => `edited by ${ctx.user.id}`),
})

let database: OpenDatabase
let handler: (request: Request) => Promise<Response>
beforeAll(async () => {
  // The pool connects on demand, so nothing connects here.
  database = await openDatabase({ url: inject('postgresUrl') })
  const verifier = createVerifier({ issuer, audience: issuer, keys: [key.jwk] })
  handler = createFetchHandler({ verifier, database, router: scoped })
})
afterAll(() => database.close())

const tokenWith = (scope: unknown) => key.sign(claimsFrom(issuer, { scope }))

async function ask(path: string, scope: unknown) {
  const headers = { authorization: `Bearer ${await tokenWith(scope)}` }
  return handler(new Request(`http://localhost/trpc/${path}`, { headers }))
}

test.each(['tasks:read tasks:write', 'tasks:write other tasks:read'])(
  'a caller with every scope may call: %s',
  async scope => {
    const response = await ask('edit', scope)
    expect([response.status, await response.json()]).toMatchObject([
      200,
      { result: { data: { json: 'edited by alice' } } },
    ])
  },
)

test.each([
  undefined,
  '',
  'tasks:read',
  'tasks:read tasks:writer',
  'tasks:read,tasks:write',
  5,
  ['tasks:write'],
])('a caller without one is 403 with the required scopes: %j', async scope => {
  const response = await ask('edit', scope)
  expect(response.status).toBe(403)
  expect(response.headers.get('www-authenticate')).toMatch(
    /^Bearer error="insufficient_scope", error_description="[^"]+", scope="tasks:read tasks:write"$/,
  )
  expect(await response.json()).toMatchObject({
    error: { json: { data: { code: 'FORBIDDEN', httpStatus: 403, reason: 'insufficient_scope' } } },
  })
})

test('the other calls of a batch are answered', async () => {
  const response = await ask('me,edit?batch=1&input=%7B%7D', 'tasks:read')
  expect(response.status).toBe(207)
  expect(response.headers.get('www-authenticate')).toContain('insufficient_scope')
  expect(await response.json()).toMatchObject([
    { result: { data: { json: { id: 'alice', scope: 'tasks:read' } } } },
    { error: { json: { data: { reason: 'insufficient_scope' } } } },
  ])
})

test('a missing scope signs nobody out and fetches no other token', async () => {
  const onSignedOut = vi.fn()
  const getToken = vi.fn(() => tokenWith('tasks:read'))
  const auth = bearerAuth({ cache: true, getToken, onSignedOut })
  const fetch: typeof globalThis.fetch = (input, init) => handler(new Request(input, init))
  const client = createClient<typeof scoped>({ url: 'http://localhost/trpc', auth, fetch })
  const refusal = await refusalOf<typeof scoped>(client.edit.query())
  expect(refusal.data?.reason).toBe('insufficient_scope')
  expect(await client.me.query()).toMatchObject({ id: 'alice' })
  expect(getToken).toHaveBeenCalledOnce()
  expect(onSignedOut).not.toHaveBeenCalled()
})

interface Member {
  id: string
  scope?: string
}

test.each<[string, Member | null, string, string]>([
  ['nobody', null, 'UNAUTHORIZED', 'missing'],
  ['somebody without the scope', { id: 'alice' }, 'FORBIDDEN', 'insufficient_scope'],
])('on a foreign t %s is refused', async (_, user, code, reason) => {
  const t = initTRPC.context<{ user: Member | null }>().create()
  const edit = t.procedure.concat(requireScope<Member>('edit')).query(({ ctx }) => ctx.user.id)
  const error: unknown = await t
    .createCallerFactory(t.router({ edit }))({ user })
    .edit()
    .catch(error => error)
  expect(error).toMatchObject({ code })
  expect(reasonOf(error)).toBe(reason)
})

test('an error for your own role has the same reason', () => {
  expect(reasonOf(new Error('No admin.', { cause: new TokenError('insufficient_scope') }))).toBe(
    'insufficient_scope',
  )
})

test.each<[string, () => unknown]>([
  // @ts-expect-error at least one
  ['no scope', () => requireScope()],
  ['an empty one', () => requireScope('')],
  ['two in one', () => requireScope('read write')],
  ['one that would end the header', () => requireScope('read"')],
])('%s is a TypeError', (_, make) => {
  expect(make).toThrow(TypeError)
})
