import type { TRPCClient } from '@trpc/client'
import { afterAll, beforeAll } from 'vitest'
import { createClient } from '../../client/index.js'
import { type OpenDatabase, openDatabase } from '../../db/index.js'
import { type AppRouter, readConfig, startServer } from '../../server/index.js'
import { transformer } from '../../shared/index.js'
import { signUp } from './better-auth.js'
import { type DatabaseKind, dataDir, migratedDatabase, nowhere } from './database.js'
import { startIssuer } from './issuer.js'

/**
 * The server as `npm start` runs it: on a socket, with a database of this kind, and with Better Auth unless `env` names an
 * issuer. Then `sign` makes the tokens.
 */
export async function startApp(
  kind: DatabaseKind = 'embedded',
  env: Record<string, string> = {},
  sign?: (name: string) => Promise<string>,
) {
  const folder = await dataDir()
  const database = kind === 'PostgreSQL' ? await migratedDatabase() : null
  const variables = {
    PORT: '0',
    LOG_LEVEL: 'silent',
    DATA_DIR: folder.path,
    ...(database && { DATABASE_URL: database.url }),
  }
  const server = await startServer(readConfig({ ...variables, ...env }))
  const users = new Map<string, Promise<() => Promise<string>>>()

  /** The token of a user, who is signed up the first time. */
  async function tokenOf(name: string): Promise<string> {
    if (sign !== undefined) return sign(name)
    const user = users.get(name) ?? signUp(server.url, name)
    users.set(name, user)
    return (await user)()
  }
  return {
    url: server.url,
    dataDir: folder.path,
    databaseUrl: database?.url,
    tokenOf,
    /** The client of a user. */
    as: (name: string): TRPCClient<AppRouter> =>
      createClient({ url: `${server.url}/trpc`, cache: true, getToken: () => tokenOf(name) }),
    async [Symbol.asyncDispose]() {
      await server.close()
      await folder[Symbol.asyncDispose]()
      await database?.[Symbol.asyncDispose]()
    },
  }
}

/** The server with an issuer and a database elsewhere. It starts without asking either. */
export async function startRemote(issuer: { url: string }, env: Record<string, string> = {}) {
  const variables = { PORT: '0', LOG_LEVEL: 'silent', BETTER_AUTH_URL: issuer.url, DATABASE_URL: nowhere }
  const { url, close } = await startServer(readConfig({ ...variables, ...env }))
  return { url, close, [Symbol.asyncDispose]: close }
}

/**
 * One app for all tests of a describe: `const app = sharedApp(kind)`, and `app()` inside the tests. Its issuer is the fake one,
 * which signs a token faster than Better Auth signs a user up.
 */
export function sharedApp(kind: DatabaseKind, env?: () => Promise<Record<string, string>>) {
  let issuer: Awaited<ReturnType<typeof startIssuer>> | undefined
  let app: Awaited<ReturnType<typeof startApp>> | undefined
  beforeAll(async () => {
    const started = await startIssuer()
    issuer = started
    app = await startApp(kind, { BETTER_AUTH_URL: started.url, ...(await env?.()) }, name =>
      started.tokenFor(name, { claims: { name, email: `${name}@example.com` } }),
    )
  })
  afterAll(async () => {
    await app?.[Symbol.asyncDispose]()
    await issuer?.[Symbol.asyncDispose]()
  })
  return () => {
    if (app === undefined) throw new Error('The app runs only while the tests of its describe run.')
    return app
  }
}

type App = ReturnType<ReturnType<typeof sharedApp>>

/** A name that no other user of the run has. */
export const somebody = () => `person-${crypto.randomUUID()}`

/** The unscoped handle on the database of a running app. */
export async function administer({ databaseUrl: url, dataDir }: App) {
  const database: OpenDatabase = await openDatabase(url === undefined ? { dataDir, join: true } : { url })
  return { ...database, [Symbol.asyncDispose]: database.close }
}

/** A call without a client: for input that a typed client cannot send, and for the bytes of the answer. */
export async function rawCall(app: App, person: string, procedure: string, input: unknown) {
  const isQuery = procedure === 'tasks.get' || procedure === 'tasks.list'
  const body = JSON.stringify(transformer.input.serialize(input))
  const response = await fetch(
    `${app.url}/trpc/${procedure}${isQuery ? `?input=${encodeURIComponent(body)}` : ''}`,
    {
      method: isQuery ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${await app.tokenOf(person)}`, 'content-type': 'application/json' },
      ...(!isQuery && { body }),
    },
  )
  const { 'x-request-id': _, date, ...headers } = Object.fromEntries(response.headers)
  return { status: response.status, headers, body: await response.text() }
}
