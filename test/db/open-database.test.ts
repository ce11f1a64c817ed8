import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { DatabaseUnavailableError, isDatabaseUnavailable } from '../../db/errors.js'
import { type DatabaseOptions, migrateToLatest, type OpenDatabase, openDatabase } from '../../db/index.js'
import { emptyDatabase, nowhere, openTestDatabase } from '../parts/database.js'
import { fakePostgres } from '../parts/fake-postgres.js'
import { migrateAll } from '../parts/migrate.js'

/** Errors of two attempts: a statement and a transaction. */
async function failuresOf({ forUser }: Pick<OpenDatabase, 'forUser'>): Promise<unknown[]> {
  const alice = forUser('alice')
  const look = (handle: typeof alice) => handle.selectFrom('tasks').selectAll().execute()
  const settled = await Promise.allSettled([look(alice), alice.transaction().execute(look)])
  return settled.map(outcome => (outcome.status === 'rejected' ? outcome.reason : 'no error'))
}

async function expectUnavailable(options: DatabaseOptions) {
  const database = await openDatabase({ connectTimeout: 1, ...options })
  try {
    for (const failure of await failuresOf(database)) {
      expect(isDatabaseUnavailable(failure), String(failure)).toBe(true)
    }
  } finally {
    await database.close()
  }
}

/** An ErrorResponse as PostgreSQL sends it before it closes the connection. */
function errorResponse(code: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0Mno\0\0`)
  const head = Buffer.from('E\0\0\0\0')
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

const withUrl = (change: (url: URL) => void) => {
  const url = new URL(inject('postgresUrl'))
  change(url)
  return url.href
}

describe.concurrent('a database that cannot be used is an outage', () => {
  test.each<[string, () => string]>([
    ['its host name does not resolve', () => 'postgres://somebody:secret@database.invalid:5432/test'],
    ['its host cannot be reached', () => 'postgres://somebody:secret@192.0.2.1:5432/test'],
    [
      'the login does not exist, or its password is wrong',
      () =>
        withUrl(url => {
          url.username = `nobody_${randomBytes(6).toString('hex')}`
          url.password = 'wrong'
        }),
    ],
    [
      'the database does not exist',
      () =>
        withUrl(url => {
          url.pathname = `/missing_${randomBytes(6).toString('hex')}`
        }),
    ],
    ['its socket does not exist', () => 'postgres://somebody@/test?host=/nowhere'],
  ])('if %s', async (_, url) => {
    await expectUnavailable({ url: url() })
  })

  test('if its port is closed', async () => {
    const closed = await fakePostgres(() => {})
    await closed[Symbol.asyncDispose]()
    await expectUnavailable({ url: closed.url })
  })

  test('if its port does not answer', async () => {
    await using silent = await fakePostgres(() => {})
    await expectUnavailable({ url: silent.url })
  })

  test('if it closes the connection', async () => {
    await using closing = await fakePostgres(answer => answer(Buffer.alloc(0)))
    await expectUnavailable({ url: closing.url })
  })

  test.each([
    ['the password is wrong', '28P01'],
    ['the login is refused', '28000'],
    ['the database does not exist', '3D000'],
    ['it has too many connections', '53300'],
    ['it starts or stops', '57P03'],
    ['it recovers', '57P02'],
    ['the pooler has lost its server', '08006'],
  ])('if it reports that %s', async (_, code) => {
    await using database = await fakePostgres(answer => answer(errorResponse(code)))
    await expectUnavailable({ url: database.url })
  })
})

test.each<[string, () => string, string]>([
  ['no server', () => nowhere, 'No server answers at the database URL: check its host and port'],
  [
    'no such database',
    () =>
      withUrl(url => {
        url.pathname = '/missing_database'
      }),
    'The database of the database URL does not exist: create it first.',
  ],
  [
    'no such login',
    () =>
      withUrl(url => {
        url.username = 'missing_login'
      }),
    'PostgreSQL refuses the login of the database URL',
  ],
])('migrateToLatest on %s says what to check, and a call does not', async (_, url, message) => {
  const database = await openDatabase({ url: url() })
  try {
    await expect(migrateToLatest(database.admin)).rejects.toThrow(message)
    const call = sql`select 1`.execute(database.forUser('alice'))
    await expect(call).rejects.toThrow(DatabaseUnavailableError)
  } finally {
    await database.close()
  }
})

describe('a database that is not migrated is an outage', () => {
  test('if the role is missing', async () => {
    await using empty = await emptyDatabase()
    await expectUnavailable({ url: empty.url, role: `missing_${randomBytes(6).toString('hex')}` })
  })

  test('if the role exists, because another database of the cluster uses it', async () => {
    await using _migrated = await openTestDatabase('PostgreSQL')
    await using empty = await emptyDatabase()
    await expectUnavailable({ url: empty.url })
  })

  test('until the migrations have run', async () => {
    await using empty = await emptyDatabase()
    const database = await openDatabase({ url: empty.url })
    try {
      expect((await failuresOf(database)).map(isDatabaseUnavailable)).toEqual([true, true])
      await expect(database.fence()).rejects.toMatchObject({
        reason: 'database_unavailable',
        cause: { message: expect.stringContaining('migrateToLatest') },
      })
      await migrateAll(database.admin)
      expect(await failuresOf(database)).toEqual(['no error', 'no error'])
    } finally {
      await database.close()
    }
  })
})

test('an error of a statement is not an outage', async () => {
  await using database = await openTestDatabase('PostgreSQL')
  for (const text of ['select 1 / 0', 'selec 1', 'select * from pg_authid', "select 'x'::int"]) {
    const failure = await sql
      .raw(text)
      .execute(database.forUser('alice'))
      .catch(error => error)
    expect(failure).toBeInstanceOf(Error)
    expect(isDatabaseUnavailable(failure)).toBe(false)
  }
})

describe('on the embedded database', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase('embedded')
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test.each([
    'select tasks.title from tasks t',
    'select tasks.title from (select 1) x',
    'select * from "my tasks"',
    'select * from other_tasks',
    "select trpc_bearer_mistake('x')",
  ])('a mistake in a statement is not an outage: %s', async statement => {
    const error = await sql
      .raw(statement)
      .execute(database.forUser('alice'))
      .catch(failure => failure)
    expect(error).toBeInstanceOf(Error)
    expect(isDatabaseUnavailable(error)).toBe(false)
  })
})
