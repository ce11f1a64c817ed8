import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterAll, expect, inject, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { builtCommands, printedSql } from '../../parts/built-commands.js'
import { startIssuer } from '../../parts/issuer.js'
import { levelOf, ownedDatabase } from '../../parts/logins.js'
import { runSql } from '../../parts/run-sql.js'

const secret = randomBytes(32).toString('hex')

const commands = await builtCommands()
afterAll(() => commands[Symbol.asyncDispose]())

test('signed needs only the three statements and the two commands of docs/operations.md', async () => {
  const page = await readFile(new URL('../../../docs/operations.md', import.meta.url), 'utf8')
  const [, block = ''] = /```sql\n(create role owner login[^`]+)```/.exec(page) ?? []
  const statements = block.trim().split('\n')
  expect(statements).toHaveLength(3)
  const id = randomBytes(4).toString('hex')
  const named = (text: string) =>
    text.replace(/\b(owner|server|app)\b(?! owner;)/g, `$1_${id}`).replace('…', id)
  const admin = inject('postgresUrl')
  const urlOf = (login: string) => named(`postgres://${login}:…@${new URL(admin).host}/app`)
  const env = { FENCE_SECRET: secret, DATABASE_FENCE: 'signed', DATABASE_ROLE: `role_${id}` }
  try {
    await runSql(admin, ...statements.map(named))
    const urls = { MIGRATION_DATABASE_URL: urlOf('owner'), DATABASE_URL: urlOf('server') }
    await using migration = commands.migrate(commands.path, { ...env, ...urls })
    expect(await migration.ended).toMatchObject({ code: 0, stderr: '' })
    await using issuer = await startIssuer()
    await using server = commands.start(commands.path, {
      ...env,
      PORT: '0',
      DATABASE_URL: urls.DATABASE_URL,
      BETTER_AUTH_URL: issuer.url,
    })
    const [, url] = await server.waitForOutput(/"url":"([^"]+)"/)
    expect(await (await fetch(`${url}/readyz`)).json()).toMatchObject({ ready: true, fence: 'signed' })
  } finally {
    await runSql(
      admin,
      `drop database if exists app_${id} with (force)`,
      `drop role if exists role_${id}, server_${id}, owner_${id}`,
    )
  }
})

test('a change from plain to signed refuses no call of servers that already have the secret', async () => {
  await using owned = await ownedDatabase()
  const { ownerUrl, serverUrl, role } = owned
  await commands.migrateFor(owned)
  const servers = await Promise.all(
    [ownerUrl, serverUrl].map(url => openDatabase({ url, role, fenceSecret: secret })),
  )
  const add = () =>
    Promise.all(
      servers.map(({ forUser }) =>
        forUser('alice').insertInto('tasks').values({ id: crypto.randomUUID(), title: 'x' }).execute(),
      ),
    )
  try {
    let isOver = false
    const migrated = commands.migrateFor(owned, { FENCE_SECRET: secret }).finally(() => {
      isOver = true
    })
    while (!isOver) await add()
    expect(await migrated).toMatchObject({ code: 0, stdout: expect.stringContaining('signed now') })
    await add()
    expect(await levelOf(owned, secret)).toEqual({ level: 'signed', gaps: [], notes: [] })
  } finally {
    for (const server of servers) await server.close()
  }
})

test('a new secret and a changed one are logged, and the same one is not', async () => {
  await using owned = await ownedDatabase()
  const logOf = async (FENCE_SECRET: string) =>
    (await commands.migrateFor(owned, { FENCE_SECRET })).stdout.split('\n').slice(1)
  expect((await commands.migrateFor(owned)).stdout).toMatch(
    /^Migrated: 0001_isolation, 0002_tasks\.\nThe level is plain\. .*\n$/,
  )
  expect(await logOf(secret)).toEqual([expect.stringContaining('signed now'), ''])
  expect(await logOf(secret)).toEqual([''])
  expect(await logOf(randomBytes(32).toString('hex'))).toEqual([
    expect.stringContaining('has been changed'),
    '',
  ])
})

test('npx trpc-bearer fence warns about the previous secret, until it is invalid', async () => {
  await using owned = await ownedDatabase()
  const [first = '', second = '', third = ''] = [1, 2, 3].map(() => randomBytes(32).toString('hex'))
  const change = (FENCE_SECRET: string) => commands.migrateFor(owned, { FENCE_SECRET })
  const fence = (FENCE_SECRET: string) => commands.fenceOf(owned, { FENCE_SECRET })
  await change(first)
  expect(await fence(first)).toMatchObject({ code: 0, stderr: '' })
  await change(second)
  const closed = { code: 0, stdout: expect.stringMatching(/^No gaps: .*level signed/) }
  expect(await fence(first)).toMatchObject({
    ...closed,
    stderr: expect.stringContaining('the previous secret'),
  })
  expect(await fence(second)).toMatchObject({ ...closed, stderr: '' })
  await change(third)
  expect(await fence(first)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('the database rejects it'),
  })
})

test('npx trpc-bearer fence checks a database whose table tasks is one of the application', async () => {
  await using owned = await ownedDatabase()
  await owned.administer('create table tasks (id int primary key)')
  const migrated = await commands.migrateFor(owned)
  expect(migrated).toMatchObject({ code: 0, stdout: expect.stringContaining('another table tasks') })
  expect(await commands.fenceOf(owned)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^No gaps: /),
  })
})

test('npx trpc-bearer fence prints what keeps the level from signed, with the SQL that fixes it', async () => {
  await using owned = await ownedDatabase()
  await commands.migrateFor(owned, { FENCE_SECRET: secret })
  await owned.administer(`alter role ${owned.server} inherit`)
  const { code, stdout, stderr } = await commands.fenceOf(owned, { FENCE_SECRET: secret })
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^No gaps: .*level plain/)
  expect(printedSql(stdout)).toEqual([expect.stringContaining(`alter role ${owned.server} noinherit`)])
  await owned.administer(...printedSql(stdout))
  expect(await commands.fenceOf(owned, { FENCE_SECRET: secret })).toMatchObject({
    stdout: expect.stringMatching(/^No gaps: [^\n]*level signed[^\n]*\n$/),
  })
})

test('npx trpc-bearer fence prints the grant that a login lacks to become the role', async () => {
  await using owned = await ownedDatabase()
  const { role, server, owner } = owned
  await commands.migrateFor(owned)
  await owned.administer(`revoke ${role} from ${server} granted by ${owner}`)
  const { code, stdout, stderr } = await commands.fenceOf(owned)
  expect([code, stdout]).toEqual([1, ''])
  expect(printedSql(stderr)).toEqual([expect.stringContaining(`grant ${role} to ${server}`)])
  await owned.administer(...printedSql(stderr))
  expect(await commands.fenceOf(owned)).toMatchObject({ code: 0, stderr: '' })
})

test('npx trpc-bearer fence names any other right that the login lacks', async () => {
  await using owned = await ownedDatabase()
  await commands.migrateFor(owned)
  await owned.administer('revoke usage on schema trpc_bearer from public')
  const { code, stderr } = await commands.fenceOf(owned)
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^[^\n]*permission denied for schema trpc_bearer[^\n]*\n$/),
  ])
})
