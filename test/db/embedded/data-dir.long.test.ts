import { mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { openDataDir } from '../../../db/embedded/data-dir.js'
import { DataDirInUseError } from '../../../db/index.js'
import { startDatabaseProcess } from '../../parts/database-process.js'
import { temporaryFolder } from '../../parts/temporary-folder.js'

const rounds = 12

/** Paths of the lock files in a folder. */
async function lockFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(entry => join(folder, entry.name))
}

/** The lock files that a killed owner leaves behind. */
let dead: { pid: string; files: { name: string; content: string }[] }
beforeAll(async () => {
  await using folder = await temporaryFolder()
  await using child = await startDatabaseProcess()
  expect(await child.run('claim', folder.path)).toBeUndefined()
  await child.kill()
  const files = await lockFiles(folder.path)
  dead = {
    pid: String(child.child.pid),
    files: await Promise.all(
      files.map(async file => ({ name: basename(file), content: await readFile(file, 'utf8') })),
    ),
  }
  expect(files).not.toEqual([])
})

async function leaveDeadLock(folder: string, change = (content: string) => content) {
  await mkdir(folder, { recursive: true })
  for (const { name, content } of dead.files) await writeFile(join(folder, name), change(content))
}

test('a data folder is created with mode 700 and can be opened again after a release', async () => {
  await using folder = await temporaryFolder()
  const path = join(folder.path, 'deep', 'data')
  const first = await openDataDir(path)
  expect((await stat(path)).mode & 0o777).toBe(0o700)
  for (const file of await lockFiles(path)) expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(first).toMatchObject({ path, sockets: path })
  await first.release()
  const second = await openDataDir(path)
  await second.release()
})

test.each(['/proc/nope/data', '/dev/null/data', '/etc/passwd'])(
  '%s is refused with a message of one line',
  async path => {
    await expect(openDataDir(path)).rejects.toThrow(
      /^The data folder .* cannot be created \(E[A-Z]+\): choose a folder you can write to \(DATA_DIR, or dataDir\)\.$/,
    )
  },
)

describe('the lock of a data folder', () => {
  test('refuses a second opener with a message of one line that says what to do', async () => {
    await using folder = await temporaryFolder()
    const owner = await openDataDir(folder.path)
    const refusal = await openDataDir(folder.path).catch(error => error)
    expect(refusal).toBeInstanceOf(DataDirInUseError)
    expect(refusal.message).toContain(folder.path)
    expect(refusal.message).toContain(String(process.pid))
    expect(refusal.message).toContain('DATA_DIR')
    expect(refusal.message).not.toContain('\n')
    await owner.release()
    await (await openDataDir(folder.path)).release()
  })

  test('refuses a second opener that uses another path to the folder', async () => {
    await using folder = await temporaryFolder()
    const [path, link] = [join(folder.path, 'data'), join(folder.path, 'link')]
    const owner = await openDataDir(path)
    await symlink(path, link)
    await expect(openDataDir(link)).rejects.toThrow(DataDirInUseError)
    await expect(openDataDir(`${link}/../link/`)).rejects.toThrow(DataDirInUseError)
    await owner.release()
  })

  test('refuses a second opener after the folder was moved', async () => {
    await using folder = await temporaryFolder()
    const [before, after] = [join(folder.path, 'before'), join(folder.path, 'after')]
    const owner = await openDataDir(before)
    try {
      await rename(before, after)
      await expect(openDataDir(after)).rejects.toThrow(DataDirInUseError)
    } finally {
      await owner.release()
    }
  })

  test('refuses a second opener while the owner is stopped, and when its pid means nothing here (another container)', async () => {
    await using folder = await temporaryFolder()
    await using child = await startDatabaseProcess()
    expect(await child.run('claim', folder.path)).toBeUndefined()
    child.child.kill('SIGSTOP')
    await expect(openDataDir(folder.path)).rejects.toThrow(DataDirInUseError)
    for (const file of await lockFiles(folder.path)) {
      const content = await readFile(file, 'utf8')
      await writeFile(file, content.replaceAll(String(child.child.pid), String(2 ** 30)))
    }
    await expect(openDataDir(folder.path)).rejects.toThrow(DataDirInUseError)
    child.child.kill('SIGCONT')
  })

  test('is taken over from an owner that was killed', async () => {
    await using folder = await temporaryFolder()
    await using child = await startDatabaseProcess()
    expect(await child.run('claim', folder.path)).toBeUndefined()
    expect(await child.run('claim', folder.path)).toMatchObject({ name: 'DataDirInUseError' })
    await child.kill()
    const owner = await openDataDir(folder.path)
    await owner.release()
  })

  test('is taken over if its pid now belongs to another process', async () => {
    await using folder = await temporaryFolder()
    await leaveDeadLock(folder.path, content => content.replaceAll(dead.pid, String(process.pid)))
    const owner = await openDataDir(folder.path)
    await owner.release()
  })

  test.each(['', ' ', 'garbage', '\0\0\0\0', '{"pid":', '{}', 'null', '[]', '12345', '{"pid":1,"guard":7}'])(
    'is taken over if the file contains %j, which no owner wrote',
    async content => {
      await using folder = await temporaryFolder()
      await leaveDeadLock(folder.path, () => content)
      const owner = await openDataDir(folder.path)
      await expect(openDataDir(folder.path)).rejects.toThrow(DataDirInUseError)
      await owner.release()
      await (await openDataDir(folder.path)).release()
    },
  )

  test('goes to one of six processes that find a dead owner, and the others are refused', async () => {
    await using folder = await temporaryFolder()
    const children = await Promise.all(Array.from({ length: 6 }, startDatabaseProcess))
    try {
      for (let round = 0; round < rounds; round++) {
        const path = join(folder.path, String(round))
        await leaveDeadLock(path)
        const errors = await Promise.all(children.map(child => child.run('claim', path)))
        const names = errors.map(error => error?.name ?? 'opened')
        expect(names.toSorted()).toEqual([...Array.from({ length: 5 }, () => 'DataDirInUseError'), 'opened'])
        await Promise.all(children.map(child => child.run('release')))
      }
    } finally {
      await Promise.all(children.map(child => child.kill()))
    }
  })

  test.each([
    ['that is new', async () => {}],
    ['whose owner is dead', (path: string) => leaveDeadLock(path)],
  ])('goes to one of ten simultaneous openers of a folder %s', async (_, prepare) => {
    await using folder = await temporaryFolder()
    for (let round = 0; round < 2 * rounds; round++) {
      const path = join(folder.path, String(round))
      await prepare(path)
      const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => openDataDir(path)))
      const owners = outcomes.filter(outcome => outcome.status === 'fulfilled').map(({ value }) => value)
      await Promise.all(owners.map(owner => owner.release()))
      expect(owners).toHaveLength(1)
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(DataDirInUseError)
      }
    }
  })
})

describe('the socket folder of a data folder', () => {
  test.each([60, 85, 86, 87, 92, 93, 94, 95, 100, 108, 200])(
    'takes whole socket names if the path of the data folder has %i bytes',
    async bytes => {
      await using folder = await temporaryFolder()
      const path = join(folder.path, 'd'.repeat(bytes - folder.path.length - 1))
      const { sockets, release } = await openDataDir(path)
      expect(await readdir(sockets)).toContainEqual(expect.stringMatching(/^\.guard-[0-9a-f]{8}$/))
      expect((await stat(sockets)).mode & 0o777).toBe(0o700)
      expect(Buffer.byteLength(join(sockets, '.s.PGSQL.5432'))).toBeLessThanOrEqual(100)
      await expect(openDataDir(path)).rejects.toThrow(DataDirInUseError)
      await release()
      await rm(sockets, { recursive: true })
    },
  )

  test('is different for two long paths that differ only at their end', async () => {
    await using folder = await temporaryFolder()
    const long = join(folder.path, ''.repeat(70))
    const [one, two] = [await openDataDir(`${long}1`), await openDataDir(`${long}2`)]
    expect(one.sockets).not.toBe(two.sockets)
    await Promise.all([one.release(), two.release()])
    for (const { sockets } of [one, two]) await rm(sockets, { recursive: true })
  })
})
