import { spawn } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { inject } from 'vitest'
import { freePort } from './listen.js'
import { temporaryFolder } from './temporary-folder.js'
import { waitFor } from './wait-for.js'

/**
 * Starts PgBouncer in transaction mode.
 *
 * @param options.login URL of the login for all connections to PostgreSQL. @default that of the tests
 * @param options.poolSize connections to PostgreSQL for each database. @default 4
 */
export async function startPgBouncer({ login = inject('postgresUrl'), poolSize = 4 } = {}) {
  const folder = await temporaryFolder()
  await chmod(folder.path, 0o755)
  const { hostname, port, username, password } = new URL(login)
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
default_pool_size = ${poolSize}
max_client_conn = 500
`,
  )
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const child = spawn('pgbouncer', [...user, join(folder.path, 'pgbouncer.ini')], { stdio: 'ignore' })
  const ended = new Promise((done, fail) => child.once('exit', done).once('error', fail))
  const bouncer = {
    urlOf(database: string) {
      return `postgres://anybody@127.0.0.1:${own}${new URL(database).pathname}`
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await ended
      await folder[Symbol.asyncDispose]()
    },
  }
  const answers = async () => {
    const client = new pg.Client({ connectionString: bouncer.urlOf(login) })
    await client.connect()
    await client.end()
  }
  await Promise.race([ended, waitFor(answers, { timeout: 10_000, interval: 100 })])
  return bouncer
}
