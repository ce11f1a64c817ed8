import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { type DatabaseOptions, type OpenDatabase, openDatabase } from '../../db/index.js'
import { migrateAll } from './migrate.js'
import { run } from './program.js'
import { fastFolder, temporaryFolder } from './temporary-folder.js'

/** The URL of a database that never answers: nothing listens on so low a port. */
export const nowhere = 'postgres://nobody:hunter2@127.0.0.1:1/nothing'

export const databaseKinds = ['embedded', 'PostgreSQL'] as const
export type DatabaseKind = (typeof databaseKinds)[number]

/** The kinds of this run: `npm test` runs most tests on PostgreSQL, `npm run test:long` runs them on the other kind. */
export const kindsOfThisRun: readonly DatabaseKind[] = process.env.LONG_TESTS ? ['embedded'] : ['PostgreSQL']

/** For tests of which `npm test` runs only some cases: `npm run test:long` runs all of them on both kinds. */
export const kindsOfAllCases: readonly DatabaseKind[] = process.env.LONG_TESTS
  ? databaseKinds
  : ['PostgreSQL']

/** The data folder of an embedded database after its first start. */
export async function dataDir() {
  const folder = await temporaryFolder(await fastFolder())
  // The copy by Node takes five times as long for the thousand files of a database.
  const { code, stderr } = await run('cp', ['-R', `${inject('dataDirTemplate')}/.`, folder.path])
  if (code !== 0) throw new Error(`The data folder was not copied: ${stderr}`)
  return folder
}

/** A new, empty PostgreSQL database. */
export const emptyDatabase = () => createDatabase('template1')

/** An open PostgreSQL database that is not migrated. */
export async function openEmptyDatabase() {
  const empty = await emptyDatabase()
  const database = await openDatabase({ url: empty.url })
  return {
    ...database,
    url: empty.url,
    async [Symbol.asyncDispose]() {
      await database.close()
      await empty[Symbol.asyncDispose]()
    },
  }
}

/** A new PostgreSQL database with the schema: a copy, as to migrate each one takes longer. */
export const migratedDatabase = () => createDatabase(inject('postgresTemplate'))

// A new connection takes as long as the statement itself, so a worker keeps one.
let administrator: pg.Pool | undefined

function administer(statement: string) {
  administrator ??= new pg.Pool({
    connectionString: inject('postgresUrl'),
    allowExitOnIdle: true,
    idleTimeoutMillis: 0,
  })
  return administrator.query(statement)
}

async function createDatabase(template: string) {
  const name = `test_${randomBytes(6).toString('hex')}`
  // Copying the files takes half the time of the default, which writes every block to the log.
  await administer(`create database ${name} template ${template} strategy file_copy`)
  const url = new URL(inject('postgresUrl'))
  url.pathname = `/${name}`
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      await administer(`drop database if exists ${name} with (force)`)
    },
  }
}

/** Migrates a database, as `npx trpc-bearer migrate` does. */
export async function migrate(url: string): Promise<void> {
  const { admin, close } = await openDatabase({ url })
  await migrateAll(admin).finally(close)
}

/** An open, migrated database of either kind. */
export async function openTestDatabase(kind: DatabaseKind, options: DatabaseOptions = {}) {
  if (kind === 'embedded') {
    const folder = await dataDir()
    return disposable(await openDatabase({ ...options, dataDir: folder.path }), folder, null)
  }
  const { url, ...created } = await migratedDatabase()
  return disposable(await openDatabase({ ...options, url }), created, url)
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
