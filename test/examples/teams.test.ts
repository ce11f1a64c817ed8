import { createServer } from 'node:http'
import { getMigrations } from 'better-auth/db/migration'
import { toNodeHandler } from 'better-auth/node'
import { decodeJwt } from 'jose'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bearerAuth, createClient, type Subscribe } from '../../client/index.js'
import { createApi } from '../../examples/teams/api.js'
import { createAuth } from '../../examples/teams/auth.js'
import { type projectsRouter, up } from '../../examples/teams/projects.js'
import { refusalOf } from '../parts/api-error.js'
import { answerOf, startSession } from '../parts/better-auth.js'
import { migratedDatabase } from '../parts/database.js'
import { listen } from '../parts/listen.js'

type Person = Awaited<ReturnType<typeof startSession>>

const server = createServer()
let host: Awaited<ReturnType<typeof listen>>
let database: Awaited<ReturnType<typeof migratedDatabase>>
let pool: pg.Pool
let api: Awaited<ReturnType<typeof createApi>>
/** Signed up once, because that takes long. Each test makes its own organisations. */
let ann: Person
let ben: Person
let cleo: Person

beforeAll(async () => {
  host = await listen(server)
  database = await migratedDatabase()
  pool = new pg.Pool({ connectionString: database.url })
  // The database is dropped while its last connections close.
  pool.on('error', () => {})
  const auth = createAuth({ baseURL: host.url, secret: 'a secret of this test, and of nobody else', pool })
  await (await getMigrations(auth.options)).runMigrations()
  api = await createApi({ issuer: host.url, url: database.url })
  await up(api.database.admin)
  const answerAuth = toNodeHandler(auth)
  server.on('request', (req, res) =>
    req.url?.startsWith('/api/auth/') ? answerAuth(req, res) : api.handler(req, res),
  )
  const signUp = (name: string) => startSession(host.url, name)
  ;[ann, ben, cleo] = await Promise.all([signUp('ann'), signUp('ben'), signUp('cleo')])
})
afterAll(async () => {
  await host.close()
  await api.database.close()
  await pool.end()
  await database[Symbol.asyncDispose]()
})

/** The API with a new token of this person. */
const as = ({ getToken }: Pick<Person, 'getToken'>) =>
  createClient<typeof projectsRouter>({ url: `${host.url}/trpc`, getToken })

const namesOf = async (person: Pick<Person, 'getToken'>) =>
  (await as(person).list.query()).map(({ name }) => name).sort()

const codeOf = async (call: Promise<unknown>) => (await refusalOf<typeof projectsRouter>(call)).data?.code

/** Makes an organisation with one project. It becomes the active one of its owner. */
async function found(owner: Person, project: string) {
  const slug = crypto.randomUUID()
  const { id: orgId } = await answerOf(owner.auth.organization.create({ name: 'An organisation', slug }))
  const { id } = await as(owner).create.mutate({ name: project })
  return { orgId, projectId: id }
}

/** Makes a person a member of the owner's active organisation, which becomes their active one. */
async function invite(owner: Person, person: Person, role: 'member' | 'admin') {
  const { id } = await answerOf(owner.auth.organization.inviteMember({ email: person.email, role }))
  await answerOf(person.auth.organization.acceptInvitation({ invitationId: id }))
}

const activate = (person: Person, organizationId: string | null) =>
  person.auth.organization.setActive({ organizationId })

test('the members of an organisation share its projects, and nobody else sees them', async () => {
  await found(ann, 'rocket')
  await invite(ann, ben, 'member')
  await as(ben).create.mutate({ name: 'satellite' })
  await found(cleo, 'laser')
  for (const person of [ann, ben]) expect(await namesOf(person)).toEqual(['rocket', 'satellite'])
  expect(await namesOf(cleo)).toEqual(['laser'])
  expect(await api.database.fence()).toMatchObject({ gaps: [], notes: [] })
})

test('somebody in two organisations sees the active one, and the other one with the next token', async () => {
  const { orgId } = await found(ann, 'rocket')
  await invite(ann, ben, 'member')
  await found(cleo, 'laser')
  await invite(cleo, ben, 'member')
  const old = await ben.getToken()
  expect(await namesOf(ben)).toEqual(['laser'])
  await answerOf(activate(ben, orgId))
  expect(await namesOf(ben)).toEqual(['rocket'])
  expect(await namesOf({ getToken: async () => old })).toEqual(['laser'])
})

test('a client renews the token when the session changes to another organisation', async () => {
  const { orgId } = await found(ann, 'rocket')
  await found(ann, 'laser')
  // As betterAuthToken(authClient) reports each session in a browser.
  let report: (userId: string) => void = () => {}
  const subscribe: Subscribe = reporting => {
    report = reporting
    return () => {}
  }
  const auth = bearerAuth({ cache: true, getToken: ann.getToken, subscribe })
  const client = createClient<typeof projectsRouter>({ url: `${host.url}/trpc`, auth })
  report('ann')
  expect(await client.list.query()).toMatchObject([{ name: 'laser' }])
  await answerOf(activate(ann, orgId))
  expect(await client.list.query()).toMatchObject([{ name: 'laser' }])
  report('ann')
  expect(await client.list.query()).toMatchObject([{ name: 'rocket' }])
})

test('somebody without an active organisation sees no projects and creates none', async () => {
  const { orgId } = await found(ann, 'rocket')
  await activate(ann, null)
  const { error } = await activate(ben, orgId)
  expect(error).toMatchObject({ status: 403, code: 'USER_IS_NOT_A_MEMBER_OF_THE_ORGANIZATION' })
  for (const person of [ann, ben]) {
    expect(await namesOf(person)).toEqual([])
    expect(await codeOf(as(person).create.mutate({ name: 'lost' }))).toBe('FORBIDDEN')
  }
})

test('an admin of the organisation deletes a project, and a member does not', async () => {
  const { orgId, projectId: id } = await found(ann, 'rocket')
  await invite(ann, ben, 'member')
  await invite(ann, cleo, 'admin')
  expect(await codeOf(as(ben).delete.mutate({ id }))).toBe('FORBIDDEN')
  await found(cleo, 'laser')
  expect(await codeOf(as(cleo).delete.mutate({ id }))).toBe('NOT_FOUND')
  expect(await namesOf(ben)).toEqual(['rocket'])
  await answerOf(activate(cleo, orgId))
  expect(await as(cleo).delete.mutate({ id })).toEqual({ id })
  expect(await namesOf(ben)).toEqual([])
})

test('a removed member sees the projects until the token expires, and gets no other token for them', async () => {
  const { orgId } = await found(ann, 'rocket')
  await invite(ann, ben, 'member')
  const old = await ben.getToken()
  await answerOf(ann.auth.organization.removeMember({ memberIdOrEmail: ben.email }))
  const { session } = await answerOf(ben.auth.getSession())
  expect(session).toMatchObject({ activeOrganizationId: orgId })
  expect(await namesOf(ben)).toEqual([])
  expect(await namesOf({ getToken: async () => old })).toEqual(['rocket'])
  const { iat = 0, exp } = decodeJwt(old)
  expect(exp).toBe(iat + 5 * 60)
})
