import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { type DatabaseOptions, openDatabase, setUpFence } from '../../db/index.js'
import { emptyDatabase } from './database.js'
import { migrateAll } from './migrate.js'
import { runSql } from './run-sql.js'

/**
 * An empty database with an owner, a login that serves, and the name of an application role that does not exist yet.
 * `owner` and `server` are attributes for `create role`.
 */
export async function ownedDatabase({ owner = 'createrole', server = 'noinherit' } = {}) {
  const empty = await emptyDatabase()
  const id = randomBytes(4).toString('hex')
  const names = { owner: `owner_${id}`, server: `server_${id}`, role: `role_${id}` }
  const database = new URL(empty.url).pathname.slice(1)
  const administer = (...statements: string[]) => runSql(empty.url, ...statements)
  await administer(
    `create role ${names.owner} login ${owner} password 'owner'`,
    `create role ${names.server} login ${server} password 'server'`,
    `alter database ${database} owner to ${names.owner}`,
  )
  const urlOf = (login: string, password: string) => {
    const url = new URL(empty.url)
    url.username = login
    url.password = password
    return url.href
  }
  return {
    ...names,
    database,
    url: empty.url,
    ownerUrl: urlOf(names.owner, 'owner'),
    serverUrl: urlOf(names.server, 'server'),
    administer,
    async [Symbol.asyncDispose]() {
      await empty[Symbol.asyncDispose]()
      await runSql(
        inject('postgresUrl'),
        `drop role if exists ${names.role}`,
        `drop role ${names.server}, ${names.owner}`,
      )
    },
  }
}

export type Owned = Awaited<ReturnType<typeof ownedDatabase>>

/** Migrates a database as its owner and opens it as the login that serves. With a secret the level is `signed`. */
export async function openMigrated(
  { role, ownerUrl, serverUrl, server: login, administer }: Owned,
  secret?: string,
  owners?: DatabaseOptions['owners'],
) {
  const owner = await openDatabase({ url: ownerUrl, role })
  await migrateAll(owner.admin, { role })
  const left = await setUpFence(owner.admin, { role, login, secret })
  await owner.close()
  // From PostgreSQL 16 on, an owner with CREATEROLE may not run all of it.
  await administer(...left)
  return openDatabase({ url: serverUrl, role, fenceSecret: secret, owners })
}

/** The fence report of the login that serves. */
export async function levelOf({ serverUrl: url, role }: Owned, fenceSecret?: string) {
  const { fence, close } = await openDatabase({ url, role, fenceSecret })
  try {
    return await fence()
  } finally {
    await close()
  }
}
