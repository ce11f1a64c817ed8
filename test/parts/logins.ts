import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { emptyDatabase } from './database.js'
import { runStatements } from './run-statements.js'

/**
 * An empty database of an owner, a login that serves, and the name of a role that nobody has made yet. The attributes are those
 * of `create role`.
 */
export async function ownedDatabase({ owner = 'createrole', server = 'noinherit' } = {}) {
  const empty = await emptyDatabase()
  const id = randomBytes(4).toString('hex')
  const names = { owner: `owner_${id}`, server: `server_${id}`, role: `role_${id}` }
  const database = new URL(empty.url).pathname.slice(1)
  const administer = (...statements: string[]) => runStatements(empty.url, ...statements)
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
      await runStatements(
        inject('postgresUrl'),
        `drop role if exists ${names.role}`,
        `drop role ${names.server}, ${names.owner}`,
      )
    },
  }
}
