import { mkdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { DatabaseUrlError, openDatabase } from '../../../db/index.js'
import { ConfigError, readConfig } from '../../../server/index.js'
import { migratedDatabase, nowhere } from '../../parts/database.js'
import { startPostgresProxy } from '../../parts/postgres-proxy.js'
import { runSql } from '../../parts/run-sql.js'
import { temporaryFolder } from '../../parts/temporary-folder.js'
import { waitFor } from '../../parts/wait-for.js'

let url: string
let created: Awaited<ReturnType<typeof migratedDatabase>>
beforeAll(async () => {
  created = await migratedDatabase()
  url = created.url
})
afterAll(() => created[Symbol.asyncDispose]())

const titles = async (database: Awaited<ReturnType<typeof openDatabase>>, user: string) =>
  (await sql<{ title: string }>`select title from tasks`.execute(database.forUser(user))).rows

test('checks close connections that have fallen silent, so that the pool recovers by itself', async () => {
  await using proxy = await startPostgresProxy(url)
  const database = await openDatabase({ url: proxy.url, poolMax: 2, statementTimeout: 1, connectTimeout: 1 })
  await database.gate()
  await sql`select 1`.execute(database.admin)
  proxy.fallSilent()
  // Past the age of its last report.
  const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000)
  await Promise.allSettled([database.gate(), database.gate(), database.gate()])
  await waitFor(async () => expect((await database.gate()).gaps).toEqual([]), { timeout: 15_000 })
  clock.mockRestore()
  await database.close()
})

if (process.env.LONG_TESTS)
  test('closing does not wait for a statement on a connection that has fallen silent', async () => {
    await using proxy = await startPostgresProxy(url)
    const database = await openDatabase({ url: proxy.url })
    await sql`select 1`.execute(database.admin)
    proxy.fallSilent()
    const lost = sql`select 1`.execute(database.admin)
    await waitFor(() => expect(proxy.heldBack).toBeGreaterThan(0))
    await Promise.all([expect(lost).rejects.toThrow('Connection terminated'), database.close()])
  })

describe('the pool of the application', () => {
  test('is used with its options, its password function and its type parsers, and is not ended', async () => {
    const { password, ...parts } = connectionParts(url)
    const types = { getTypeParser: (oid: number) => (oid === 20 ? BigInt : pg.types.getTypeParser(oid)) }
    const pool = new pg.Pool({
      ...parts,
      password: async () => password,
      application_name: 'shop',
      max: 2,
      types: types as pg.CustomTypesConfig,
    })
    const database = await openDatabase({ pool })
    await sql`insert into tasks (id, title) values (${crypto.randomUUID()}, 'hers')`.execute(
      database.forUser('alice'),
    )
    expect([await titles(database, 'alice'), await titles(database, 'bob')]).toEqual([
      [{ title: 'hers' }],
      [],
    ])
    const query = sql<object>`select count(*) as count, current_setting('application_name') as name from tasks`
    const expected = [{ count: 1n, name: 'shop' }]
    expect((await query.execute(database.forUser('alice'))).rows).toEqual(expected)
    const streamed: unknown[] = []
    const executor = database.forUser('alice').getExecutor()
    for await (const { rows } of executor.stream(query.compile(database.admin), 1)) streamed.push(...rows)
    expect(streamed).toEqual(expected)
    expect(database.pool()).toMatchObject({ total: pool.totalCount })
    await database.close()
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    await pool.end()
  })

  test('may lose its connections without ending the process', async () => {
    const pool = new pg.Pool({ connectionString: url, max: 1 })
    const database = await openDatabase({ pool })
    const ended = sql`select pg_terminate_backend(pg_backend_pid())`.execute(database.admin)
    await expect(ended).rejects.toThrow()
    // The pool may learn of the loss only with the next statement.
    await waitFor(async () => expect(await titles(database, 'bob')).toEqual([]))
    await database.close()
    await pool.end()
  })

  test('has no listener of the package after close, however often it was opened', async () => {
    const pool = new pg.Pool({ connectionString: url, max: 1 })
    const listeners = () =>
      pool.eventNames().map(name => [name, pool.listenerCount(name)] satisfies [unknown, number])
    const before = listeners()
    const warned = vi.spyOn(process, 'emitWarning')
    for (let n = 0; n < 13; n++) {
      const database = await openDatabase({ pool })
      expect(await titles(database, 'bob')).toEqual([])
      await database.close()
    }
    expect(listeners()).toEqual(before)
    expect(warned).not.toHaveBeenCalled()
    warned.mockRestore()
    await pool.end()
  })

  test('may have opened a connection before, which is lost without ending the process', async () => {
    const pool = new pg.Pool({ connectionString: url, max: 1 })
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
    const database = await openDatabase({ pool })
    const held = database.admin.transaction().execute(async trx => {
      await runSql(url, `select pg_terminate_backend(${rows[0]?.pid})`)
      await setTimeout(100)
      await sql`select 1`.execute(trx)
    })
    await expect(held).rejects.toThrow()
    expect(await titles(database, 'bob')).toEqual([])
    await database.close()
    await pool.end()
  })

  test.each([
    ['no pool', {}],
    ['a client', new pg.Client()],
    ['a pool of pg-native', { connect: () => {}, Client: class {} }],
    [
      'a pool of another version',
      {
        connect: () => {},
        Client: class {
          connection = { parse: () => {} }
        },
      },
    ],
  ])('%s is refused with what is needed', async (_, pool) => {
    const options: object = { pool }
    const opened = openDatabase(options)
    await expect(opened).rejects.toThrow(/must be a Pool of the package pg|needs pg 8\.23/)
  })

  test('excludes a url', async () => {
    const pool = new pg.Pool({ connectionString: url })
    await expect(openDatabase({ pool, url })).rejects.toThrow('Give either url or pool, not both.')
    await pool.end()
  })
})

test('poolOptions are passed on', async () => {
  const database = await openDatabase({ url, poolOptions: { application_name: 'shop', max: 3 } })
  const { rows } = await sql<object>`select current_setting('application_name') as name`.execute(
    database.admin,
  )
  expect(rows).toEqual([{ name: 'shop' }])
  await database.close()
})

test.each([
  'localhost',
  'localhost:5432/app',
  'mysql://user:hunter2@localhost/app',
  'http://localhost/app',
  '',
  'postgres://user:hunter2%@localhost/app',
])('the url %j is refused with the same message as DATABASE_URL, and without its password', async wrong => {
  const error: Error = await openDatabase({ url: wrong }).then(
    () => expect.unreachable(),
    error => error,
  )
  expect(error).toBeInstanceOf(DatabaseUrlError)
  expect(error.message).not.toContain('hunter2')
  const [, said = ''] = /^The url of the database (.+)$/.exec(error.message) ?? []
  expect(said).toMatch(/postgres:\/\/user:password@host:5432\/database|%25/)
  if (wrong === '') return
  expect(() => readConfig({ DATABASE_URL: wrong, BETTER_AUTH_URL: 'http://127.0.0.1:1' })).toThrow(
    expect.objectContaining({ name: ConfigError.name, message: expect.stringContaining(said) }),
  )
})

function connectionParts(url: string) {
  const { hostname: host, port, username: user, password, pathname } = new URL(url)
  return { host, port: Number(port), user, password, database: pathname.slice(1) }
}

test('the error for a pool that does not fit names the version found and what it lacks', async () => {
  const pool = Object.assign(new pg.Pool({ connectionString: nowhere }), { Client: class {} })
  await expect(openDatabase({ pool })).rejects.toThrow(
    /^This pool is of pg 8\.\d+\.\d+ and lacks getTransactionStatus, parse, .*\. trpc-bearer needs pg 8\.23/,
  )
  await pool.end()
})

test('the error names the version of an older pg that the application has', async () => {
  await using folder = await temporaryFolder()
  const installed = join(folder.path, 'node_modules/pg')
  await mkdir(installed, { recursive: true })
  await writeFile(join(installed, 'package.json'), '{ "version": "8.11.3" }')
  await writeFile(join(installed, 'index.js'), 'exports.Pool = class { Client = class {}; connect() {} }')
  const { Pool } = createRequire(join(folder.path, 'package.json'))('pg')
  vi.spyOn(process, 'cwd').mockReturnValue(folder.path)
  try {
    await expect(openDatabase({ pool: new Pool() })).rejects.toThrow('This pool is of pg 8.11.3 and lacks')
    const another: object = { pool: { connect() {}, Client: class {} } }
    await expect(openDatabase(another)).rejects.toThrow(
      'This pool is of another copy of pg, whose version is not known, and lacks',
    )
  } finally {
    vi.mocked(process.cwd).mockRestore()
  }
})
