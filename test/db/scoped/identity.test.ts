import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'

type Handle = ReturnType<Awaited<ReturnType<typeof openTestDatabase>>['forUser']>

const insert = (handle: Handle, title: string, user?: string) =>
  handle
    .insertInto('tasks')
    .values({ id: crypto.randomUUID(), title, ...(user !== undefined && { user_id: user }) })
    .returning(['user_id', 'title'])
    .executeTakeFirstOrThrow()

describe.each(kindsOfThisRun)('the identity of a scoped handle on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase(kind)
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test('is set for every statement, with many callers at once', async () => {
    const names = Array.from({ length: 60 }, (_, number) => `user ${number % 7}`)
    const seen = await Promise.all(
      names.map(async name => {
        const { rows } = await sql<{ id: string; role: string }>`
          select trpc_bearer.user_id() as id, current_user as role`.execute(database.forUser(name))
        return rows
      }),
    )
    expect(seen).toEqual(names.map(id => [{ id, role: 'app_user' }]))
  })

  test.each([
    ['empty', ''],
    ['of 256 characters', 'a'.repeat(256)],
    ['of 256 characters beyond the basic plane', '🦊'.repeat(256)],
    ['with a NUL', 'alice\0'],
    ['with a lone surrogate', 'alice\ud83e'],
  ])('cannot have a user id that is %s', (_, id) => {
    expect(() => database.forUser(id)).toThrow()
  })

  test.each([
    ['255 characters', 'a'.repeat(255)],
    ['255 characters beyond the basic plane', '🦊'.repeat(255)],
    ['quotes, line breaks and dollars', `o'"\\ \n\t$1 $$ -- /*`],
    ['spaces around', '  alice  '],
  ])('keeps a user id of %s as it is', async (_, id) => {
    expect(await insert(database.forUser(id), 'theirs')).toEqual({ user_id: id, title: 'theirs' })
    expect(await database.forUser(id).selectFrom('tasks').select('user_id').execute()).toEqual([
      { user_id: id },
    ])
    await database.forUser(id).deleteFrom('tasks').execute()
  })
})

describe.each(kindsOfThisRun)('the application role without an identity on %s', kind => {
  test('sees and writes no rows: identity never set, set in an earlier transaction, or empty', async () => {
    await using database = await openTestDatabase(kind)
    await insert(database.forUser('alice'), 'hers')
    for (const before of [
      sql`select 1`,
      sql`select set_config('app.user_id', 'alice', true)`,
      sql`select set_config('app.user_id', '', false)`,
    ]) {
      await database.admin.connection().execute(async connection => {
        await before.execute(connection)
        await sql`set role app_user`.execute(connection)
        try {
          expect(await connection.selectFrom('tasks').selectAll().execute()).toEqual([])
          for (const user of [undefined, '', 'alice']) {
            const refusal = { code: expect.stringMatching(/^(42501|23502)$/) }
            await expect(insert(connection, 'forged', user)).rejects.toMatchObject(refusal)
          }
          expect((await connection.deleteFrom('tasks').executeTakeFirst()).numDeletedRows).toBe(0n)
        } finally {
          await sql`reset role`.execute(connection)
        }
        expect(await connection.selectFrom('tasks').select('title').execute()).toEqual([{ title: 'hers' }])
      })
    }
  })
})
