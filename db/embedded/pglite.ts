import { existsSync } from 'node:fs'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PGlite } from '@electric-sql/pglite'
import type { PoolConfig } from 'pg'
import { cleanSession } from '../scoped/session-cleanup.js'
import { openDataDir, socketsOfOwner } from './data-dir.js'

const packages = '@electric-sql/pglite@0.5.14 @electric-sql/pglite-socket@0.2.17'

/** A package that is needed here is not installed. The message says which. */
export class MissingPackageError extends Error {
  override name = 'MissingPackageError'
}

/** How to reach a running embedded database, and how to stop it. */
export interface EmbeddedDatabase {
  connection: PoolConfig
  close(): Promise<void>
}

// One connection: PGlite is one session in one thread, and messages of two would interleave.
const connectionTo = (sockets: string): PoolConfig => ({
  host: sockets,
  port: 5432,
  user: 'postgres',
  database: 'postgres',
  max: 1,
  // All connections share PGlite's one session: what a dropped one has left there would be the next one's.
  onConnect: async client => {
    await client.query(['rollback', ...cleanSession].join('; '))
  },
})

/**
 * Starts PostgreSQL inside this process (PGlite) on a folder, served on a unix socket inside it, so that pg, `psql` and the
 * kysely command talk to it as to any other.
 *
 * @param dataDir folder of the data, made where it is missing
 * @throws DataDirInUseError when another process has the folder open
 * @throws MissingPackageError when PGlite is not installed
 */
export async function startEmbedded(dataDir: string): Promise<EmbeddedDatabase> {
  const [{ PGlite }, { PGLiteSocketServer }] = await Promise.all([
    import('@electric-sql/pglite'),
    import('@electric-sql/pglite-socket'),
  ]).catch(cause => {
    throw new MissingPackageError(
      `The embedded database is not installed: set DATABASE_URL, or npm install ${packages}`,
      { cause },
    )
  })
  const folder = await openDataDir(dataDir)
  const stops = [folder.release]
  const close = async () => {
    for (const stop of stops) await stop()
  }
  try {
    const pglite = await openWhole(folder.path, data => PGlite.create(data))
    stops.unshift(() => pglite.close())
    const path = join(folder.sockets, '.s.PGSQL.5432')
    await rm(path, { force: true })
    const server = new PGLiteSocketServer({ db: keepPipelinesWhole(pglite), path, maxConnections: 10 })
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

/** Types of the messages that leave a transaction open until a Sync: Parse, Bind, Describe, Execute, Close, Flush. */
const pipelined = new Set(Buffer.from('PBDECH'))

/**
 * Makes the socket server take statements behind one Sync for a transaction. It would let another connection's messages in between
 * them otherwise, and their Sync would end the identity before the statement it was set for.
 */
function keepPipelinesWhole(pglite: PGlite): PGlite {
  let isInPipeline = false
  return new Proxy(pglite, {
    get(target, name) {
      if (name === 'isInTransaction') return () => isInPipeline || target.isInTransaction()
      if (name === 'execProtocolRawStream') {
        return async (...[message, options]: Parameters<PGlite['execProtocolRawStream']>) => {
          await target.execProtocolRawStream(message, options)
          isInPipeline = pipelined.has(message[0] ?? 0)
        }
      }
      // The server calls it to roll back what a dropped connection has left.
      if (name === 'exec') isInPipeline = false
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/**
 * Opens the data, making them on the first start. A first start that was killed leaves half a database, which nobody has
 * written to yet: a mark stands beside it until it is whole.
 */
async function openWhole<T>(folder: string, open: (data: string) => Promise<T>): Promise<T> {
  const data = join(folder, 'pglite')
  const mark = join(folder, 'first-start')
  if (existsSync(mark)) await rm(data, { recursive: true, force: true })
  if (existsSync(data)) return open(data)
  await writeFile(mark, 'Here while the database is made.\n')
  await mkdir(data, { mode: 0o700 })
  const opened = await open(data)
  await rm(mark)
  return opened
}

/** Reaches the embedded database that another process has started on this folder, or null where none has. */
export async function joinEmbedded(dataDir: string): Promise<EmbeddedDatabase | null> {
  const sockets = await socketsOfOwner(dataDir)
  return sockets === null ? null : { connection: connectionTo(sockets), close: async () => {} }
}
