import { createHash, randomBytes } from 'node:crypto'
import { link, lstat, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

/** Thrown if another process has the data folder open. Two processes at once would destroy an embedded database. */
export class DataDirInUseError extends Error {
  override name = 'DataDirInUseError'
}

/** Thrown if the data folder cannot be used. */
export class DataDirError extends Error {
  override name = 'DataDirError'
}

/** A data folder that only this process has open. */
export interface DataDir {
  path: string
  /** Folder of the PostgreSQL socket, for `psql -h`. */
  sockets: string
  release(): Promise<void>
}

/** The content of a lock file. */
interface Owner {
  pid: number
  /**
   * Path of the unix socket that answers while the owner lives, from the data folder. A pid proves nothing: it may be reused, or be
   * one of another container.
   */
  guard: string
}

/**
 * Opens a data folder for this process alone, and creates it (mode 700) if it is missing. Takes over the lock of a process that
 * has died.
 *
 * @throws DataDirInUseError if another process has it open
 * @throws DataDirError if it cannot be created or written to
 */
export async function openDataDir(folder: string): Promise<DataDir> {
  const path = resolve(folder)
  await createFolder(path).catch(cause => {
    throw unusable(path, 'created', cause)
  })
  const sockets = await socketFolder(path)
  const name = `.guard-${randomBytes(4).toString('hex')}`
  const server = await listen(join(sockets, name))
  const release = async () => {
    await new Promise(done => server.close(done))
    await rm(join(sockets, name), { force: true })
  }
  try {
    // A relative path stays right when the folder is moved or mounted elsewhere.
    const guard = sockets === path ? name : join(sockets, name)
    await lock(path, join(path, `.lock-${name}`), { pid: process.pid, guard })
  } catch (error) {
    await release()
    throw error
  }
  return { path, sockets, release }
}

/** Folder of the sockets of the process that has the data folder open, or null if there is none. */
export async function socketsOfOwner(folder: string): Promise<string | null> {
  const path = resolve(folder)
  const owner = await readOwner(path, await lastLock(path).catch(() => 0))
  return owner !== null && (await isAlive(path, owner)) ? dirname(resolve(path, owner.guard)) : null
}

/**
 * Locks are numbered files and the highest counts, so that nobody has to remove a lock that another process may just have made. A
 * link creates the next one with its whole content, and fails if that number exists.
 */
async function lock(path: string, draft: string, own: Owner): Promise<void> {
  await writeFile(draft, JSON.stringify(own), { mode: 0o600 }).catch(cause => {
    throw unusable(path, 'written to', cause)
  })
  try {
    for (;;) {
      const last = await lastLock(path)
      const owner = await readOwner(path, last)
      if (owner !== null && (await isAlive(path, owner)))
        throw new DataDirInUseError(
          `${path} is in use by another process (pid ${owner.pid}): stop it first, or choose another folder (DATA_DIR, or dataDir).`,
        )
      const next = last + 1
      try {
        await link(draft, lockFile(path, next))
      } catch (error) {
        if (hasCode(error, 'EEXIST')) continue
        throw error
      }
      // If a higher one exists, its owner had already removed the one that had this number.
      if ((await lastLock(path)) === next) return await removeLocksBelow(path, next)
      await rm(lockFile(path, next), { force: true })
    }
  } finally {
    await rm(draft, { force: true })
  }
}

async function removeLocksBelow(path: string, number: number): Promise<void> {
  for (const old of (await locks(path)).filter(other => other < number)) {
    const owner = await readOwner(path, old)
    if (owner !== null) await rm(resolve(path, owner.guard), { force: true })
    await rm(lockFile(path, old), { force: true })
  }
}

const lockFile = (path: string, number: number) => join(path, `lock.${number}`)

async function locks(path: string): Promise<number[]> {
  const names = await readdir(path)
  return names.flatMap(name => /^lock\.(\d+)$/.exec(name)?.[1] ?? []).map(Number)
}

async function lastLock(path: string): Promise<number> {
  return Math.max(0, ...(await locks(path)))
}

/** Returns null if the lock is missing or has unknown content. */
async function readOwner(path: string, number: number): Promise<Owner | null> {
  try {
    const { pid, guard } = JSON.parse(await readFile(lockFile(path, number), 'utf8'))
    return typeof guard === 'string' ? { pid, guard } : null
  } catch {
    return null
  }
}

/** Only these two errors prove that nobody listens: others may come from an owner that is busy. */
function isAlive(path: string, { guard }: Owner): Promise<boolean> {
  return new Promise(done => {
    const connection = connect(resolve(path, guard), () => {
      connection.destroy()
      done(true)
    })
    connection.once('error', error => done(!hasCode(error, 'ECONNREFUSED', 'ENOENT')))
  })
}

function listen(socket: string): Promise<Server> {
  return new Promise((done, fail) => {
    const server = createServer(connection => connection.destroy()).unref()
    server.once('error', fail).listen(socket, () => done(server))
  })
}

/** Creates one level at a time: Node's recursive mkdir never ends in a folder that takes no new ones (/proc). */
async function createFolder(path: string): Promise<void> {
  const create = () => mkdir(path, { mode: 0o700 })
  await create().catch(async error => {
    if (hasCode(error, 'ENOENT')) return createFolder(dirname(path)).then(create)
    if (!hasCode(error, 'EEXIST') || !(await stat(path)).isDirectory()) throw error
  })
}

/** A socket path is limited to 104 bytes on macOS and 108 on Linux, and Node silently cuts a longer one. */
async function socketFolder(path: string): Promise<string> {
  if (Buffer.byteLength(join(path, '.guard-00000000')) <= 100) return path
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 16)
  const folder = join(tmpdir(), `trpc-bearer-${hash}`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const found = await lstat(folder)
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0)
    throw new DataDirError(
      `The socket folder ${folder} is not yours alone: remove it, or choose a shorter path (DATA_DIR, or dataDir).`,
    )
  return folder
}

const hasCode = (error: unknown, ...codes: string[]) =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))

const unusable = (path: string, action: string, cause: NodeJS.ErrnoException) =>
  new DataDirError(
    `The data folder ${path} cannot be ${action} (${cause.code}): choose a folder you can write to (DATA_DIR, or dataDir).`,
    { cause },
  )
