import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openDatabase, pendingMigrations } from '../../../db/index.js'
import { dataDir, emptyDatabase } from '../../parts/database.js'
import { openMigrated, ownedDatabase } from '../../parts/logins.js'
import { root, run } from '../../parts/program.js'

const names = ['0001_isolation', '0002_tasks']

/** Runs the `kysely` command, which must end by itself. Empty variables count as unset. */
const kysely = (args: string[], env: { DATABASE_URL?: string; DATA_DIR?: string; DATABASE_ROLE?: string }) =>
  run(join(root, 'node_modules/.bin/kysely'), args, {
    env: {
      ...process.env,
      NODE_ENV: '',
      TEST: '',
      VITEST: '',
      DATABASE_URL: '',
      ...env,
      CI: '1',
      NO_COLOR: '1',
    },
  })

/** The migrations of a list, each with its mark. */
const statesIn = (output: string) =>
  [...output.matchAll(/\[`?(.)`?\] (\d{4}_\w+)/gu)].map(([, mark, name]) => [mark, name])

describe('the kysely command', () => {
  test('lists and runs the migrations of the database at DATABASE_URL', async () => {
    await using empty = await emptyDatabase()
    const env = { DATABASE_URL: empty.url }
    const database = await openDatabase({ url: empty.url })
    try {
      const before = await kysely(['migrate', 'list'], env)
      expect(before).toMatchObject({ code: 0 })
      expect(statesIn(before.stdout)).toEqual(names.map(name => [' ', name]))
      expect(await pendingMigrations(database.admin, { tasks: true })).toEqual(names)
      expect(await kysely(['migrate', 'latest'], env)).toMatchObject({ code: 0 })
      expect(await pendingMigrations(database.admin, { tasks: true })).toEqual([])
    } finally {
      await database.close()
    }
  })

  test('opens the embedded database if no process has it open, and closes it', async () => {
    await using folder = await dataDir()
    const env = { DATA_DIR: folder.path }
    const list = await kysely(['migrate', 'list'], env)
    expect(list).toMatchObject({ code: 0 })
    expect(statesIn(list.stdout)).toEqual(names.map(name => ['✓', name]))
    const database = await openDatabase({ dataDir: folder.path })
    expect(await pendingMigrations(database.admin, { tasks: true })).toEqual([])
    await database.close()
  })

  test('joins an embedded database that a server has open, and leaves it running', async () => {
    await using folder = await dataDir()
    const owner = await openDatabase({ dataDir: folder.path })
    const alice = owner.forUser('alice')
    await alice.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'kept' }).execute()
    const list = await kysely(['migrate', 'list'], { DATA_DIR: folder.path })
    expect(list).toMatchObject({ code: 0 })
    expect(statesIn(list.stdout)).toEqual(names.map(name => ['✓', name]))
    expect(await alice.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'kept' }])
    await owner.close()
  })

  test('fails in one line, and ends, if the database cannot be reached', async () => {
    const list = await kysely(['migrate', 'list'], { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/missing' })
    expect(list).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^No server answers .*\n$/),
    })
  })

  test('names the migrating login in one line if the serving login is used', async () => {
    await using owned = await ownedDatabase()
    await (await openMigrated(owned)).close()
    const list = await kysely(['migrate', 'list'], {
      DATABASE_URL: owned.serverUrl,
      DATABASE_ROLE: owned.role,
    })
    expect(list).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        `^${owned.server} may not .* Set MIGRATION_DATABASE_URL to a URL of ${owned.owner}, [^\n]*\n$`,
      ),
    })
  })
})
