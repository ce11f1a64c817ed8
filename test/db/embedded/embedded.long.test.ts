import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import pg from 'pg'
import { describe, expect, inject, test, vi } from 'vitest'
import { migrateTasks, openDatabase } from '../../../db/index.js'
import { dataDir } from '../../parts/database.js'
import { startDatabaseProcess } from '../../parts/database-process.js'
import { temporaryFolder } from '../../parts/temporary-folder.js'

const titles = async ({ forUser }: Awaited<ReturnType<typeof openDatabase>>) =>
  (await forUser('alice').selectFrom('tasks').select('title').orderBy('title').execute()).map(
    row => row.title,
  )

const write = ({ forUser }: Awaited<ReturnType<typeof openDatabase>>, title: string) =>
  forUser('alice').insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()

describe('the embedded database', () => {
  test('a first start that was killed half-way is begun again', async () => {
    await using folder = await temporaryFolder()
    await mkdir(join(folder.path, 'pglite'))
    await writeFile(join(folder.path, 'pglite', 'PG_VERSION'), '18')
    await writeFile(join(folder.path, 'first-start'), '')
    const database = await openDatabase({ dataDir: folder.path })
    await migrateTasks(database.admin)
    await write(database, 'whole')
    expect(await titles(database)).toEqual(['whole'])
    await database.close()
    expect(existsSync(join(folder.path, 'first-start'))).toBe(false)
  })

  test('stands behind a socket of mode 600 that psql finds, its data in a folder of mode 700', async () => {
    await using folder = await dataDir()
    const database = await openDatabase({ dataDir: folder.path })
    const socket = await stat(join(folder.path, '.s.PGSQL.5432'))
    expect(socket.isSocket()).toBe(true)
    expect(socket.mode & 0o777).toBe(0o600)
    expect((await stat(join(folder.path, 'pglite'))).mode & 0o777).toBe(0o700)
    // So that no repository gets the keys.
    expect(await readFile(join(folder.path, '.gitignore'), 'utf8')).toBe('*\n')
    const client = new pg.Client({ host: folder.path, user: 'postgres', database: 'postgres' })
    await client.connect()
    expect((await client.query('select count(*)::int as tasks from tasks')).rows).toEqual([{ tasks: 0 }])
    await client.end()
    await database.close()
  })

  test('keeps its rows from one opening to the next, and may be closed twice', async () => {
    await using folder = await dataDir()
    const first = await openDatabase({ dataDir: folder.path })
    await write(first, 'kept')
    await Promise.all([first.close(), first.close()])
    await first.close()
    const second = await openDatabase({ dataDir: folder.path })
    expect(await titles(second)).toEqual(['kept'])
    await second.close()
  })

  test('is refused to a second opener in this process and in another, and comes to no harm', async () => {
    await using folder = await dataDir()
    const owner = await openDatabase({ dataDir: folder.path })
    await write(owner, 'before')
    const refusal = {
      name: 'DataDirInUseError',
      message: expect.stringMatching(
        new RegExp(`^[^\n]*${folder.path}[^\n]*\\b${process.pid}\\b[^\n]*DATA_DIR[^\n]*$`),
      ),
    }
    await expect(openDatabase({ dataDir: folder.path })).rejects.toMatchObject(refusal)
    await using child = await startDatabaseProcess()
    expect(await child.run('open', folder.path)).toMatchObject(refusal)
    await write(owner, 'after')
    expect(await titles(owner)).toEqual(['after', 'before'])
    await owner.close()
    const next = await openDatabase({ dataDir: folder.path })
    expect(await titles(next)).toEqual(['after', 'before'])
    await next.close()
  })

  test('is reclaimed from an owner that was killed, with every row that was acknowledged', async () => {
    await using folder = await dataDir()
    await using child = await startDatabaseProcess()
    expect(await child.run('open', folder.path)).toBeUndefined()
    const acknowledged: string[] = []
    for (let number = 0; number < 100; number++) {
      const title = `Task ${String(number).padStart(3, '0')}`
      expect(await child.run('write', title)).toBeUndefined()
      acknowledged.push(title)
    }
    child.child.send({ command: 'write', argument: 'unknown' })
    await child.kill()
    const database = await openDatabase({ dataDir: folder.path })
    const kept = await titles(database)
    expect(kept.filter(title => title !== 'unknown')).toEqual(acknowledged)
    await write(database, 'Task 100')
    expect(await titles(database)).toContain('Task 100')
    await database.close()
  })

  test('gives its folder back when the start fails', async () => {
    await using folder = await temporaryFolder()
    const obstacle = join(folder.path, 'pglite')
    await writeFile(obstacle, 'not a folder')
    await expect(openDatabase({ dataDir: folder.path })).rejects.toThrow()
    await rm(obstacle)
    await cp(inject('dataDirTemplate'), folder.path, { recursive: true })
    const database = await openDatabase({ dataDir: folder.path })
    expect(await titles(database)).toEqual([])
    await database.close()
  })

  test('works in folders with very long paths, each with rows of its own', async () => {
    await using folder = await temporaryFolder()
    vi.stubEnv('TMPDIR', folder.path)
    const long = join(folder.path, 'a folder with a very long name '.repeat(5))
    const open = async (dataDir: string) => {
      await cp(inject('dataDirTemplate'), dataDir, { recursive: true })
      return openDatabase({ dataDir })
    }
    try {
      const [one, two] = [await open(`${long}1`), await open(`${long}2`)]
      await Promise.all([write(one, 'first'), write(two, 'second')])
      expect([await titles(one), await titles(two)]).toEqual([['first'], ['second']])
      await expect(openDatabase({ dataDir: `${long}1` })).rejects.toMatchObject({ name: 'DataDirInUseError' })
      await Promise.all([one.close(), two.close()])
      const again = await openDatabase({ dataDir: `${long}2` })
      expect(await titles(again)).toEqual(['second'])
      await again.close()
    } finally {
      vi.unstubAllEnvs()
    }
  })
})

describe('a joined embedded database', () => {
  test("is the owner's, in this process and in another, and its end is not the owner's", async () => {
    await using folder = await dataDir()
    const owner = await openDatabase({ dataDir: folder.path })
    await write(owner, "the owner's")
    const joined = await openDatabase({ dataDir: folder.path, join: true })
    await using child = await startDatabaseProcess()
    expect(await child.run('join', folder.path)).toBeUndefined()
    expect(await child.run('write', "another process's")).toBeUndefined()
    await write(joined, "the guest's")
    const all = ["another process's", "the guest's", "the owner's"]
    expect(await titles(owner)).toEqual(all)
    await joined.close()
    expect(await child.run('close')).toBeUndefined()
    expect(await titles(owner)).toEqual(all)
    await expect(openDatabase({ dataDir: folder.path })).rejects.toMatchObject({ name: 'DataDirInUseError' })
    await owner.close()
  })

  test('is started where nobody has, and a guest does not mix its statements into a transaction of the owner', async () => {
    await using folder = await dataDir()
    const owner = await openDatabase({ dataDir: folder.path, join: true })
    await expect(openDatabase({ dataDir: folder.path })).rejects.toMatchObject({ name: 'DataDirInUseError' })
    const joined = await openDatabase({ dataDir: folder.path, join: true })
    const trx = await owner.forUser('alice').startTransaction().execute()
    await trx.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'rolled back' }).execute()
    const writing = write(joined, 'kept')
    const looking = sql<{ role: string }>`select current_user as role`.execute(joined.admin)
    expect(await trx.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'rolled back' }])
    await trx.rollback().execute()
    await writing
    expect((await looking).rows).toEqual([{ role: 'postgres' }])
    expect(await titles(owner)).toEqual(['kept'])
    await joined.close()
    await owner.close()
  })
})

test('a url that is undefined is a warning, and the embedded database in .data is used', async () => {
  await using folder = await temporaryFolder()
  const [warn, before] = [vi.spyOn(console, 'warn').mockImplementation(() => {}), process.cwd()]
  process.chdir(folder.path)
  try {
    const database = await openDatabase({ url: undefined })
    await database.close()
    expect(await readdir(folder.path)).toEqual(['.data'])
    expect(warn.mock.calls).toEqual([
      ['The url of the database is undefined, so the embedded database in .data is used.'],
    ])
  } finally {
    process.chdir(before)
    warn.mockRestore()
  }
})
