import { createHash, randomBytes } from 'node:crypto'
import { lstat, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Another process has the data folder open. Two at once destroy an embedded database for good. */
export class DataDirInUseError extends Error {
  override name = 'DataDirInUseError'
}

interface Owner {
  pid: number
  /** Unix socket that answers as long as the owner lives. A pid may be a zombie's, or another container's. */
  guard: string
  /** Folder of the PostgreSQL socket. */
  sockets: string
}

/** A data folder that this process alone has open. */
export interface DataDir {
  path: string
  /** Folder of the PostgreSQL socket: what `psql -h` takes. */
  sockets: string
  release(): Promise<void>
}

const lockOf = (folder: string) => join(folder, 'lock')

/**
 * Opens a data folder for this process alone, making it (mode 700) where it is missing. The lock of an owner that
 * has died is taken over.
 *
 * @throws DataDirInUseError when another process has it open
 */
export async function openDataDir(folder: string): Promise<DataDir> {
  const path = resolve(folder)
  await mkdir(path, { recursive: true, mode: 0o700 })
  const sockets = await socketFolder(path)
  const guard = join(sockets, `.guard-${randomBytes(4).toString('hex')}`)
  const alive = await listen(guard)
  const lock = lockOf(path)
  const own = JSON.stringify({ pid: process.pid, guard, sockets } satisfies Owner)
  const close = async () => {
    await new Promise(done => alive.close(done))
    await rm(guard, { force: true })
  }
  try {
    while (!(await create(lock, own))) await takeFromTheDead(path, lock)
    if ((await readFile(lock, 'utf8')) !== own) throw inUse(path)
  } catch (error) {
    await close()
    throw error
  }
  return {
    path,
    sockets,
    async release() {
      await rm(lock, { force: true })
      await close()
    },
  }
}

/** Folder of the socket of the process that has the data folder open now, or null when none has. */
export async function socketsOfOwner(folder: string): Promise<string | null> {
  const owner = await readOwner(lockOf(resolve(folder)))
  return owner !== null && (await answers(owner.guard)) ? owner.sockets : null
}

const inUse = (path: string, pid?: number) =>
  new DataDirInUseError(
    `${path} is in use by another process${pid === undefined ? '' : ` (pid ${pid})`}: stop it first, or set DATA_DIR to another folder.`,
  )

async function create(lock: string, content: string): Promise<boolean> {
  try {
    await writeFile(lock, content, { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

async function takeFromTheDead(path: string, lock: string): Promise<void> {
  const owner = await readOwner(lock)
  if (owner !== null && (await answers(owner.guard))) throw inUse(path, owner.pid)
  // By a rename, so that of several who found it dead one wins. Who moved a newer lock by mistake puts it back.
  const grave = `${lock}.${randomBytes(4).toString('hex')}`
  try {
    await rename(lock, grave)
  } catch {
    return
  }
  const moved = await readFile(grave, 'utf8')
  await rm(grave)
  if (moved !== JSON.stringify(owner) && owner !== null) await create(lock, moved)
  else if (owner !== null) await rm(owner.guard, { force: true })
}

async function readOwner(lock: string): Promise<Owner | null> {
  // Empty for the moment between making and writing it.
  for (let attempt = 0; attempt < 20; attempt++) {
    const content = await readFile(lock, 'utf8').catch(() => null)
    if (content === null) return null
    if (content !== '') return JSON.parse(content)
    await sleep(50)
  }
  return null
}

function answers(socket: string): Promise<boolean> {
  return new Promise(done => {
    const connection = connect(socket)
    connection.once('connect', () => done(true)).once('error', () => done(false))
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
    throw new Error(`${folder} is not a folder of yours alone: remove it, or set DATA_DIR to a shorter path.`)
  }
  return folder
}
