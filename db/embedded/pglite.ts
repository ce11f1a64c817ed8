import { existsSync } from 'node:fs'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PGlite } from '@electric-sql/pglite'
import type { PoolConfig } from 'pg'
import { loadOptional } from '../errors.js'
import { cleanSession } from '../scoped/session-cleanup.js'
import { neverCancel } from '../wire/cancel.js'
import { openDataDir, socketsOfOwner } from './data-dir.js'

const packages = '@electric-sql/pglite@0.5.14 @electric-sql/pglite-socket@0.2.17'

/** A running embedded database. */
export interface EmbeddedDatabase {
  /** How to connect to it. */
  connection: PoolConfig
  close(): Promise<void>
}

/** One connection, because PGlite is one session: the messages of two would mix. */
const connectionTo = (sockets: string): PoolConfig => ({
  host: sockets,
  port: 5432,
  user: 'postgres',
  database: 'postgres',
  max: 1,
  // A connection that was lost may have left something in the session, which all connections share.
  onConnect: async client => {
    neverCancel(client)
    await client.query(['rollback', ...cleanSession].join('; '))
  },
})

/**
 * Starts PostgreSQL inside this process (PGlite) and serves it on a unix socket in the data folder, so that pg, `psql` and the
 * kysely command can use it like any other server.
 *
 * @param dataDir data folder, created if missing
 * @throws DataDirInUseError if another process has the folder open
 * @throws DataDirError if the folder cannot be used
 * @throws MissingPackageError if PGlite is not installed
 */
export async function startEmbedded(dataDir: string): Promise<EmbeddedDatabase> {
  const [{ PGlite }, { PGLiteSocketServer }] = await loadOptional(
    Promise.all([
      import(/* webpackIgnore: true */ /* turbopackIgnore: true */ '@electric-sql/pglite'),
      import(/* webpackIgnore: true */ /* turbopackIgnore: true */ '@electric-sql/pglite-socket'),
    ]),
    `The embedded database is not installed: run npm install ${packages}, or set DATABASE_URL and BETTER_AUTH_URL (the Better Auth of this process uses it too).`,
  )
  const folder = await openDataDir(dataDir)
  const stops = [folder.release]
  const close = async () => {
    for (const stop of stops) await stop()
  }
  try {
    const pglite = await openComplete(folder.path, data => PGlite.create(data))
    stops.unshift(() => pglite.close())
    const path = join(folder.sockets, '.s.PGSQL.5432')
    await rm(path, { force: true })
    const server = new PGLiteSocketServer({ db: withWholePipelines(pglite), path, maxConnections: 10 })
    await server.start()
    stops.unshift(
      () => server.stop(),
      () => rm(path, { force: true }),
    )
    await chmod(path, 0o600)
    return { connection: connectionTo(folder.sockets), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Types of the messages after which a Sync is still to come: Parse, Bind, Describe, Execute, Close, Flush. */
const pipelineMessages = new Set(Buffer.from('PBDECH'))

/**
 * Makes the socket server treat statements up to a Sync as a transaction. Otherwise it lets messages of other connections in between,
 * and their Sync would end the identity before its statement runs.
 */
function withWholePipelines(pglite: PGlite): PGlite {
  let isInPipeline = false
  return new Proxy(pglite, {
    get(target, name) {
      if (name === 'isInTransaction') return () => isInPipeline || target.isInTransaction()
      if (name === 'execProtocolRawStream') {
        return async (...[message, options]: Parameters<PGlite['execProtocolRawStream']>) => {
          await target.execProtocolRawStream(message, options)
          isInPipeline = pipelineMessages.has(message[0] ?? 0)
        }
      }
      // The server calls exec to roll back after a connection is lost.
      if (name === 'exec') {
        return async (...[text, options]: Parameters<PGlite['exec']>) => {
          isInPipeline = false
          // The time limit of the statement that was lost may end the rollback too: once.
          return target.exec(text, options).catch(() => target.exec(text, options))
        }
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/**
 * Opens the database, or creates it on the first start. A marker file exists until it is complete: a first start that was killed is
 * begun again.
 */
async function openComplete<T>(folder: string, open: (data: string) => Promise<T>): Promise<T> {
  const data = join(folder, 'pglite')
  const marker = join(folder, 'first-start')
  if (existsSync(marker)) await rm(data, { recursive: true, force: true })
  if (existsSync(data)) return open(data)
  await writeFile(marker, 'This file exists while the database is created.\n')
  // The folder holds keys, and rows of people.
  await writeFile(join(folder, '.gitignore'), '*\n')
  await mkdir(data, { mode: 0o700 })
  const opened = await open(data)
  await rm(marker)
  return opened
}

/** Connects to the embedded database that another process has started on this folder. Null if there is none. */
export async function joinEmbedded(dataDir: string): Promise<EmbeddedDatabase | null> {
  const sockets = await socketsOfOwner(dataDir)
  return sockets === null ? null : { connection: connectionTo(sockets), close: async () => {} }
}
