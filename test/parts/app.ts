import type { TRPCClient } from '@trpc/client'
import { createClient } from '../../client/index.js'
import { migrateToLatest, openDatabase } from '../../db/index.js'
import { type AppRouter, readConfig, startServer } from '../../server/index.js'
import { type DatabaseKind, dataDir, emptyDatabase } from './database.js'
import { signUp } from './people.js'

/** The server as `npm start` runs it: a real socket, a real Better Auth, a database of the kind asked for. */
export async function startApp(kind: DatabaseKind = 'embedded', env: Record<string, string> = {}) {
  const folder = await dataDir()
  const empty = kind === 'PostgreSQL' ? await emptyDatabase() : null
  if (empty) await migrate(empty.url)
  const variables = {
    PORT: '0',
    LOG_LEVEL: 'silent',
    DATA_DIR: folder.path,
    ...(empty && { DATABASE_URL: empty.url }),
  }
  const server = await startServer(readConfig({ ...variables, ...env }))
  const people = new Map<string, Promise<() => Promise<string>>>()

  /** The token of a person, who is signed up on first sight. */
  async function tokenOf(name: string): Promise<string> {
    const person = people.get(name) ?? signUp(server.url, name)
    people.set(name, person)
    return (await person)()
  }
  return {
    url: server.url,
    dataDir: folder.path,
    databaseUrl: empty?.url,
    tokenOf,
    /** The client of a person. */
    as: (name: string): TRPCClient<AppRouter> =>
      createClient({ url: `${server.url}/trpc`, getToken: () => tokenOf(name) }),
    async [Symbol.asyncDispose]() {
      await server.close()
      await folder[Symbol.asyncDispose]()
      await empty?.[Symbol.asyncDispose]()
    },
  }
}

async function migrate(url: string) {
  const database = await openDatabase({ url })
  await migrateToLatest(database.admin)
  await database.close()
}
