import { AbortedTransactionError, sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { somebody } from '../../parts/app.js'
import { kindsOfThisRun, openTestDatabase } from '../../parts/database.js'

type Handle = ReturnType<Awaited<ReturnType<typeof openTestDatabase>>['forUser']>

const insert = (handle: Handle, title: string) =>
  handle.insertInto('tasks').values({ id: crypto.randomUUID(), title }).execute()

async function titles(handle: Handle) {
  const rows = await handle.selectFrom('tasks').select('title').orderBy('title').execute()
  return rows.map(row => row.title)
}

async function identity(handle: Handle) {
  const { rows } = await sql<{ id: string; role: string }>`
    select trpc_bearer.user_id() as id, current_user as role`.execute(handle)
  return rows[0]
}

const divideByZero = (handle: Handle) => sql`select 1 / 0`.execute(handle)

describe.each(kindsOfThisRun)('a transaction of a scoped handle on %s', kind => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  let id: string
  let user: Handle
  beforeAll(async () => {
    database = await openTestDatabase(kind)
    await insert(database.forUser('bob'), 'his')
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(() => {
    id = somebody()
    user = database.forUser(id)
  })

  test('commits all of its changes, as the caller', async () => {
    await user.transaction().execute(async trx => {
      await insert(trx, 'one')
      await insert(trx, 'two')
      expect(await titles(trx)).toEqual(['one', 'two'])
      expect(await identity(trx)).toEqual({ id, role: 'app_user' })
    })
    expect(await titles(user)).toEqual(['one', 'two'])
  })

  test('leaves nothing if it throws', async () => {
    const mistake = new Error('Changed my mind')
    const call = user.transaction().execute(async trx => {
      await insert(trx, 'one')
      throw mistake
    })
    await expect(call).rejects.toBe(mistake)
    expect(await titles(user)).toEqual([])
  })

  test('leaves nothing if a statement fails', async () => {
    const call = user.transaction().execute(async trx => {
      await insert(trx, 'one')
      await divideByZero(trx)
    })
    await expect(call).rejects.toMatchObject({ code: '22012' })
    expect(await titles(user)).toEqual([])
  })

  test('is an error if the failure of a statement was ignored, because it is not committed', async () => {
    const call = user.transaction().execute(async trx => {
      await insert(trx, 'one')
      await divideByZero(trx).catch(() => {})
    })
    await expect(call).rejects.toThrow()
    expect(await titles(user)).toEqual([])
  })

  test('is an error then if it is committed by hand too', async () => {
    const trx = await user.startTransaction().execute()
    await insert(trx, 'one')
    await divideByZero(trx).catch(() => {})
    await expect(trx.commit().execute()).rejects.toThrow()
    expect(await titles(user)).toEqual([])
  })

  test('begins with the first statement that can be sent', async () => {
    const notJson = sql`select ${{ big: 1n }}::jsonb`
    const call = user.transaction().execute(async trx => {
      await expect(notJson.execute(trx)).rejects.toThrow(TypeError)
      await insert(trx, 'one')
      await divideByZero(trx)
    })
    await expect(call).rejects.toMatchObject({ code: '22012' })
    expect(await titles(user)).toEqual([])
    await user.transaction().execute(async trx => {
      await expect(notJson.execute(trx)).rejects.toThrow(TypeError)
      await insert(trx, 'one')
    })
    expect(await titles(user)).toEqual(['one'])
  })

  test('that could not begin runs no later statement and cannot be committed', async () => {
    const trx = await user.startTransaction().setIsolationLevel('snapshot').execute()
    await expect(insert(trx, 'one')).rejects.toMatchObject({ code: '42601' })
    await expect(insert(trx, 'two')).rejects.toThrow('its first statement failed')
    await expect(trx.commit().execute()).rejects.toThrow(AbortedTransactionError)
    await trx.rollback().execute()
    expect(await titles(user)).toEqual([])
  })

  test('holds back the statements that are sent with its first one', async () => {
    const call = user.transaction().execute(async trx => {
      await Promise.all([insert(trx, 'one'), insert(trx, 'two'), insert(trx, 'three')])
      throw new Error('Changed my mind')
    })
    await expect(call).rejects.toThrow('Changed my mind')
    expect(await titles(user)).toEqual([])
  })

  test('can be committed or rolled back by hand', async () => {
    const kept = await user.startTransaction().execute()
    await insert(kept, 'kept')
    await kept.commit().execute()
    const dropped = await user.startTransaction().execute()
    await insert(dropped, 'dropped')
    await dropped.rollback().execute()
    expect(await titles(user)).toEqual(['kept'])
  })

  test('returns to a savepoint, also after an error, and keeps its caller', async () => {
    const trx = await user.startTransaction().execute()
    await insert(trx, 'one')
    const outer = await trx.savepoint('outer').execute()
    await insert(outer, 'two')
    const inner = await outer.savepoint('inner "quoted"').execute()
    await divideByZero(inner).catch(() => {})
    const after = await inner.rollbackToSavepoint('inner "quoted"').execute()
    expect(await identity(after)).toEqual({ id, role: 'app_user' })
    expect(await titles(after)).toEqual(['one', 'two'])
    const back = await after.rollbackToSavepoint('outer').execute()
    await insert(back, 'three')
    const released = await back.releaseSavepoint('outer').execute()
    expect(await identity(released)).toEqual({ id, role: 'app_user' })
    await released.commit().execute()
    expect(await titles(user)).toEqual(['one', 'three'])
  })

  test('has the requested isolation level and access mode', async () => {
    const trx = user.transaction().setIsolationLevel('serializable')
    const { rows } = await trx.execute(inside =>
      sql<{ level: string }>`select current_setting('transaction_isolation') as level`.execute(inside),
    )
    expect(rows).toEqual([{ level: 'serializable' }])
    const reading = user.transaction().setAccessMode('read only')
    expect(await reading.execute(titles)).toEqual([])
    await expect(reading.execute(inside => insert(inside, 'one'))).rejects.toMatchObject({ code: '25006' })
  })

  test('does not see the changes of other users at the same time', async () => {
    const others = Array.from({ length: 12 }, () => somebody())
    await Promise.all(
      others.map(other =>
        database
          .forUser(other)
          .transaction()
          .execute(async trx => {
            await insert(trx, other)
            expect(await titles(trx)).toEqual([other])
          }),
      ),
    )
    expect(await titles(user)).toEqual([])
  })

  test('is not needed for a kept connection: each of its statements is scoped', async () => {
    await user.connection().execute(async connection => {
      await insert(connection, 'one')
      await divideByZero(connection).catch(() => {})
      expect(await titles(connection)).toEqual(['one'])
      expect(await identity(connection)).toEqual({ id, role: 'app_user' })
    })
  })
})
