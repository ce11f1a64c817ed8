import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { builtCommands } from '../../parts/built-commands.js'
import { emptyDatabase } from '../../parts/database.js'
import { startPgBouncer } from '../../parts/pgbouncer.js'
import { runSql } from '../../parts/run-sql.js'

const secret = randomBytes(32).toString('hex')

let compiled: Awaited<ReturnType<typeof builtCommands>>
beforeAll(async () => {
  compiled = await builtCommands()
}, 60_000)
afterAll(() => compiled[Symbol.asyncDispose]())

const nameOf = (url: string) => new URL(url).pathname.slice(1)

/** Empty databases of one owner, a serving login for all of them, and an application role that does not exist yet. */
async function cluster(count: number) {
  const id = randomBytes(4).toString('hex')
  const [owner, server, role] = [`owner_${id}`, `server_${id}`, `role_${id}`]
  const urlOf = (database: string, login: string) => {
    const url = new URL(database)
    url.username = login
    url.password = login
    return url.href
  }
  const admin = inject('postgresUrl')
  await runSql(
    admin,
    `create role ${owner} login createrole password '${owner}'`,
    `create role ${server} login noinherit password '${server}'`,
    `grant ${server} to ${owner} with admin option`,
  )
  const databases = await Promise.all(Array.from({ length: count }, emptyDatabase))
  for (const { url } of databases)
    await runSql(
      url,
      `alter database ${nameOf(url)} owner to ${owner}`,
      `grant create on schema public to ${owner}`,
    )
  return {
    role,
    ownerUrl: urlOf(admin, owner),
    databases: databases.map(({ url }) => ({
      url,
      ownerUrl: urlOf(url, owner),
      serverUrl: urlOf(url, server),
    })),
    async [Symbol.asyncDispose]() {
      for (const database of databases) await database[Symbol.asyncDispose]()
      await runSql(admin, `drop role if exists ${role}`, `drop role ${server}, ${owner}`)
    },
  }
}
type Cluster = Awaited<ReturnType<typeof cluster>>

describe.each(['directly', 'through PgBouncer'])('ten processes that migrate at once, %s', way => {
  const runsOn = async ({ role, databases, ownerUrl }: Cluster, env: Record<string, string>) => {
    await using bouncer = way === 'directly' ? null : await startPgBouncer({ login: ownerUrl })
    const ten = Array.from({ length: 10 / databases.length }, () => databases).flat()
    const processes = ten.map(database =>
      compiled.migrate(compiled.path, {
        MIGRATION_DATABASE_URL: bouncer?.urlOf(database.url) ?? database.ownerUrl,
        DATABASE_URL: database.serverUrl,
        DATABASE_ROLE: role,
        ...env,
      }),
    )
    const ends = await Promise.all(processes.map(({ ended }) => ended))
    // PgBouncer still holds its sessions here.
    const locks = await runSql(
      inject('postgresUrl'),
      `select datname from pg_locks join pg_database on pg_database.oid = database
       where locktype = 'advisory' and datname in (${databases.map(({ url }) => `'${nameOf(url)}'`)})`,
    )
    return { ends, locks }
  }

  test.each([
    { on: 'one database', count: 1 },
    { on: 'ten of one cluster', count: 10 },
  ])(
    'on $on: each migration runs once, the level is signed, and no lock remains',
    async ({ count }) => {
      await using given = await cluster(count)
      const { ends, locks } = await runsOn(given, { FENCE_SECRET: secret })
      expect(ends.filter(({ code }) => code !== 0)).toEqual([])
      expect(locks).toEqual([])
      const ran = ends.flatMap(({ stdout }) => stdout.split('\n')[0]?.match(/\d{4}_\w+/g) ?? [])
      const names = ['0001_isolation', '0002_tasks']
      expect(ran.toSorted()).toEqual(names.flatMap(name => Array(count).fill(name)))
      for (const { url, serverUrl } of given.databases) {
        const recorded = await runSql(url, 'select name from trpc_bearer.migration order by name')
        expect(recorded).toEqual(names.map(name => ({ name })))
        const options = { role: given.role, fenceSecret: secret, requiredFence: 'signed' } as const
        const { forUser, close } = await openDatabase({ ...options, url: serverUrl })
        const task = { id: crypto.randomUUID(), title: 'milk' }
        await forUser('alice').insertInto('tasks').values(task).execute()
        expect(await forUser('alice').selectFrom('tasks').select('title').execute()).toEqual([
          { title: 'milk' },
        ])
        expect(await forUser('bob').selectFrom('tasks').select('title').execute()).toEqual([])
        await close()
      }
    },
    120_000,
  )

  test('if it fails, each process reports why, and nothing remains', async () => {
    await using given = await cluster(1)
    const [{ url = '' } = {}] = given.databases
    await runSql(url, 'create schema trpc_bearer')
    const { ends, locks } = await runsOn(given, {})
    for (const { code, stderr } of ends) {
      expect(code).toBe(1)
      expect(stderr).toContain('permission denied for schema trpc_bearer')
    }
    expect(locks).toEqual([])
    expect(
      await runSql(
        url,
        `select to_regprocedure('trpc_bearer.user_id()') as isolation, to_regclass('trpc_bearer.migration') as migrations,
           (select count(*)::int from pg_roles where rolname = '${given.role}') as roles`,
      ),
    ).toEqual([{ isolation: null, migrations: null, roles: 0 }])
  }, 120_000)
})
