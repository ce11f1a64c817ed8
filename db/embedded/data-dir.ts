import { createHash, randomBytes } from 'node:crypto'
import { link, lstat, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

/** Another process has the data folder open. Two at once destroy an embedded database for good. */
export class DataDirInUseError extends Error {
  override name = 'DataDirInUseError'
}

/** The data folder cannot be used. */
export class DataDirError extends Error {
  override name = 'DataDirError'
}

interface Owner {
  pid: number
  /** Name of the unix socket that answers as long as the owner lives. A pid may be a zombie's, or another container's. */
  guard: string
  /** Folder of the sockets, where it is not the data folder. */
  sockets: string | null
}

/** A data folder that this process alone has open. */
export interface DataDir {
  path: string
  /** Folder of the PostgreSQL socket: what `psql -h` takes. */
  sockets: string
  release(): Promise<void>
}

/**
 * Opens a data folder for this process alone, making it (mode 700) where it is missing. The lock of an owner that
 * has died is taken over.
 *
 * @throws DataDirInUseError when another process has it open
 */
export async function openDataDir(folder: string): Promise<DataDir> {
  const path = resolve(folder)
  await makeFolder(path).catch(cause => {
    throw new DataDirError(`The data folder ${path} (DATA_DIR) cannot be made: ${cause.code}.`, { cause })
  })
  const sockets = await socketFolder(path)
  const guard = `.guard-${randomBytes(4).toString('hex')}`
  const alive = await listen(join(sockets, guard))
  const release = async () => {
    await new Promise(done => alive.close(done))
    await rm(join(sockets, guard), { force: true })
  }
  try {
    await claim(path, { pid: process.pid, guard, sockets: sockets === path ? null : sockets })
  } catch (error) {
    await release()
    throw error
  }
  return { path, sockets, release }
}

/** Level by level: Node's own recursion never ends where a parent is there and nothing can be made in it (/proc). */
async function makeFolder(path: string): Promise<void> {
  const make = () => mkdir(path, { mode: 0o700 })
  await make().catch(async error => {
    if (hasCode(error, 'ENOENT')) return makeFolder(dirname(path)).then(make)
    if (!hasCode(error, 'EEXIST') || !(await stat(path)).isDirectory()) throw error
  })
}

/** Folder of the socket of the process that has the data folder open now, or null when none has. */
export async function socketsOfOwner(folder: string): Promise<string | null> {
  const path = resolve(folder)
  const owner = await readOwner(path, await lastLock(path).catch(() => 0))
  return owner !== null && (await answers(guardOf(path, owner))) ? (owner.sockets ?? path) : null
}

/**
 * Locks are numbered, and the highest counts: who finds it dead makes the next, whole and at once (by a link), and has won
 * when there is none above it by then. Nobody removes a lock that may have been made since it looked.
 */
async function claim(path: string, own: Owner): Promise<void> {
  const draft = join(path, `.lock-${own.guard}`)
  await writeFile(draft, JSON.stringify(own), { mode: 0o600 }).catch(cause => {
    throw new DataDirError(`The data folder ${path} (DATA_DIR) cannot be written to: ${cause.code}.`, {
      cause,
    })
  })
  try {
    for (;;) {
      const last = await lastLock(path)
      const owner = await readOwner(path, last)
      if (owner !== null && (await answers(guardOf(path, owner)))) throw inUse(path, owner.pid)
      if (!(await linked(draft, lockOf(path, last + 1)))) continue
      if ((await lastLock(path)) !== last + 1) {
        await rm(lockOf(path, last + 1), { force: true })
        continue
      }
      await buryBelow(path, last + 1)
      return
    }
  } finally {
    await rm(draft, { force: true })
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  }
}

async function buryBelow(path: string, number: number): Promise<void> {
  for (const below of (await locks(path)).filter(other => other < number)) {
    const owner = await readOwner(path, below)
    if (owner !== null) await rm(guardOf(path, owner), { force: true })
    await rm(lockOf(path, below), { force: true })
  }
}

const lockOf = (path: string, number: number) => join(path, `lock.${number}`)
const guardOf = (path: string, { sockets, guard }: Owner) => join(sockets ?? path, guard)

async function locks(path: string): Promise<number[]> {
  const names = await readdir(path)
  return names.flatMap(name => /^lock\.(\d+)$/.exec(name)?.[1] ?? []).map(Number)
}

async function lastLock(path: string): Promise<number> {
  return Math.max(0, ...(await locks(path)))
}

/** Null for a lock that is missing, or that nobody of ours has written. */
async function readOwner(path: string, number: number): Promise<Owner | null> {
  try {
    const { pid, guard, sockets } = JSON.parse(await readFile(lockOf(path, number), 'utf8'))
    return typeof guard === 'string' ? { pid, guard, sockets } : null
  } catch {
    return null
  }
}

const hasCode = (error: unknown, ...codes: string[]) =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))

const inUse = (path: string, pid?: number) =>
  new DataDirInUseError(
    `${path} is in use by another process${pid === undefined ? '' : ` (pid ${pid})`}: stop it first, or set DATA_DIR to another folder.`,
  )

/** Only a socket that nobody listens on, or that is not there, says that its owner has died. */
function answers(socket: string): Promise<boolean> {
  return new Promise(done => {
    const connection = connect(socket)
    connection.once('connect', () => done(true))
    connection.once('error', error => done(!hasCode(error, 'ECONNREFUSED', 'ENOENT')))
    connection.once('connect', () => connection.destroy())
  })
}

function listen(socket: string): Promise<Server> {
  return new Promise((done, fail) => {
    const server = createServer(connection => connection.destroy()).unref()
    server.once('error', fail).listen(socket, () => done(server))
  })
}

/** Node binds a truncated path in silence where it is longer than the system's limit: 104 bytes on macOS, 108 on Linux. */
async function socketFolder(path: string): Promise<string> {
  if (Buffer.byteLength(join(path, '.guard-00000000')) <= 100) return path
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 16)
  const folder = join(tmpdir(), `trpc-bearer-${hash}`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const found = await lstat(folder)
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    throw new DataDirError(
      `${folder} is not a folder of yours alone: remove it, or set DATA_DIR to a shorter path.`,
    )
  }
  return folder
}
