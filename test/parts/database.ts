import { randomBytes } from 'node:crypto'
import { cp } from 'node:fs/promises'
import { inject } from 'vitest'
import { type DatabaseOptions, migrateToLatest, type OpenDatabase, openDatabase } from '../../db/index.js'
import { runStatements } from './run-statements.js'
import { temporaryFolder } from './temporary-folder.js'

/** A data folder of the embedded database as a first start leaves it. */
export async function dataDir() {
  const folder = await temporaryFolder()
  await cp(inject('dataDirTemplate'), folder.path, { recursive: true })
  return folder
}

/** An empty PostgreSQL database of one's own: its url, gone with the scope that made it. */
export async function emptyDatabase() {
  const name = `test_${randomBytes(6).toString('hex')}`
  const admin = (statement: string) => runStatements(inject('postgresUrl'), statement)
  await admin(`create database ${name}`)
  const url = new URL(inject('postgresUrl'))
  url.pathname = `/${name}`
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      await admin(`drop database if exists ${name} with (force)`)
    },
  }
}

export const databaseKinds = ['embedded', 'PostgreSQL'] as const
export type DatabaseKind = (typeof databaseKinds)[number]

/** An open, migrated database of either kind, gone with the scope that made it. */
export async function openTestDatabase(kind: DatabaseKind, options: DatabaseOptions = {}) {
  if (kind === 'embedded') {
    const folder = await dataDir()
    return disposable(await openDatabase({ ...options, dataDir: folder.path }), folder, null)
  }
  const empty = await emptyDatabase()
  const database = await openDatabase({ ...options, url: empty.url })
  await migrateToLatest(database.admin)
  return disposable(database, empty, empty.url)
}

function disposable(database: OpenDatabase, under: AsyncDisposable, url: string | null) {
  return {
    ...database,
    url,
    async [Symbol.asyncDispose]() {
      await database.close()
      await under[Symbol.asyncDispose]()
    },
  }
}
