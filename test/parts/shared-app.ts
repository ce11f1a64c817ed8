import { afterAll, beforeAll } from 'vitest'
import { type OpenDatabase, openDatabase } from '../../db/index.js'
import { transformer } from '../../shared/index.js'
import { startApp } from './app.js'
import type { DatabaseKind } from './database.js'

/** One app for all tests of a describe: `const app = sharedApp(kind)`, and `app()` inside the tests. */
export function sharedApp(kind: DatabaseKind, env?: () => Promise<Record<string, string>>) {
  let app: Awaited<ReturnType<typeof startApp>> | undefined
  beforeAll(async () => {
    app = await startApp(kind, await env?.())
  })
  afterAll(() => app?.[Symbol.asyncDispose]())
  return () => {
    if (app === undefined) throw new Error('The app runs only while the tests of its describe do.')
    return app
  }
}

type App = ReturnType<ReturnType<typeof sharedApp>>

/** A name that nobody else in the run has. */
export const somebody = () => `person-${crypto.randomUUID()}`

/** The unscoped handle on the database of a running app, as an administrator has it. */
export async function administer({ databaseUrl: url, dataDir }: App) {
  const database: OpenDatabase = await openDatabase(url === undefined ? { dataDir, join: true } : { url })
  return { ...database, [Symbol.asyncDispose]: database.close }
}

/** A call without a client, for what a typed one cannot say and for bytes that it does not show. */
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
