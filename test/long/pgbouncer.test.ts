import { spawn } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import { migrateToLatest, openDatabase } from '../../db/index.js'
import { emptyDatabase, temporaryFolder } from '../parts/database.js'
import { listen } from '../parts/listen.js'

/** Debian's PgBouncer, in transaction mode, over few connections to the tests' PostgreSQL. */
async function startPgBouncer() {
  const folder = await temporaryFolder()
  await chmod(folder.path, 0o755)
  const { hostname, port, username, password } = new URL(inject('postgresUrl'))
  const own = await freePort()
  await writeFile(
    join(folder.path, 'pgbouncer.ini'),
    `[databases]
* = host=${hostname} port=${port || 5432} user=${username} password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
`,
  )
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const child = spawn('pgbouncer', [...user, join(folder.path, 'pgbouncer.ini')], { stdio: 'ignore' })
  const ended = new Promise((done, fail) => child.once('exit', done).once('error', fail))
  return {
    urlOf(database: string) {
      const url = new URL(database)
      return `postgres://anybody@127.0.0.1:${own}${url.pathname}`
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await ended
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function freePort(): Promise<number> {
  await using server = await listen(createServer())
  return Number(new URL(server.origin).port)
}

let bouncer: Awaited<ReturnType<typeof startPgBouncer>>
beforeAll(async () => {
  bouncer = await startPgBouncer()
})
afterAll(() => bouncer[Symbol.asyncDispose]())

const through = async (url: string) => {
  const options = { url: bouncer.urlOf(url), poolMax: 20, preparedStatements: false }
  const database = await openDatabase(options)
  await vi.waitFor(() => sql`select 1`.execute(database.db), { timeout: 10_000, interval: 100 })
  return database
}

test('thousands of statements of many users through few sessions: none sees a row of another', async () => {
  await using empty = await emptyDatabase()
  const database = await through(empty.url)
  try {
    await migrateToLatest(database.db)
    const users = Array.from({ length: 50 }, (_, n) => `user-${n}`)
    const strange: string[] = []
    const act = async (user: string, n: number) => {
      const handle = database.forUser(user)
      if (n % 3 === 0)
        await handle.insertInto('tasks').values({ id: crypto.randomUUID(), title: user }).execute()
      else if (n % 7 === 0) await sql`select set_config('app.user_id', 'user-0', false)`.execute(handle)
      else if (n % 11 === 0) await sql`select 1 / 0`.execute(handle).catch(() => {})
      const rows = await (n % 5 === 0
        ? handle.transaction().execute(trx => trx.selectFrom('tasks').select(['user_id', 'title']).execute())
        : handle.selectFrom('tasks').select(['user_id', 'title']).execute())
      strange.push(
        ...rows.filter(row => row.user_id !== user || row.title !== user).map(row => `${user}: ${row.title}`),
      )
    }
    for (let n = 0; n < 60; n++) await Promise.all(users.map(user => act(user, n)))
    expect(strange).toEqual([])
    const { rows } = await sql<{ rows: number }>`select count(*)::int as rows from tasks`.execute(database.db)
    expect(rows).toEqual([{ rows: 50 * 20 }])
  } finally {
    await database.close()
  }
}, 120_000)

test('ten that migrate at once: each migration runs once, and no lock stays', async () => {
  await using empty = await emptyDatabase()
  const databases = await Promise.all(Array.from({ length: 10 }, () => through(empty.url)))
  try {
    const ran = await Promise.all(databases.map(({ db }) => migrateToLatest(db)))
    expect(ran.flat()).toEqual(['0001_tasks'])
    const looker = await through(empty.url)
    const { rows } = await sql<{ locks: number }>`
      select count(*)::int as locks from pg_locks
      where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`.execute(
      looker.db,
    )
    await looker.close()
    expect(rows).toEqual([{ locks: 0 }])
  } finally {
    await Promise.all(databases.map(({ close }) => close()))
  }
}, 120_000)
