import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestDatabase } from '../../parts/database.js'
import { abortOnceRunning, sleep, sleepersIn } from '../../parts/sleepers.js'
import { waitFor } from '../../parts/wait-for.js'

// Kysely has signals from 0.29 on.
describe('when a signal of Kysely aborts a statement, on PostgreSQL', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>
  beforeAll(async () => {
    database = await openTestDatabase('PostgreSQL')
  })
  afterAll(() => database[Symbol.asyncDispose]())

  const sleepers = () => sleepersIn(database)
  const busy = () => {
    const { total, idle } = database.pool()
    return total - idle
  }

  test("Kysely's own signal rejects the call at once, and the statement keeps its connection until it ends", async () => {
    const gone = new AbortController()
    const call = sleep(database.forUser('alice'), 0.3).execute({ signal: gone.signal })
    const refused = expect(call).rejects.toThrow('gone')
    await abortOnceRunning(database, gone)
    await refused
    expect(await sleepers()).toBe(1)
    await waitFor(() => expect(busy()).toBe(0), { timeout: 5_000 })
    expect(await sleepers()).toBe(0)
  })

  test("Kysely's own signal rolls the transaction back", async () => {
    const gone = new AbortController()
    const call = database
      .forUser('alice')
      .transaction()
      .execute(async trx => {
        await trx.insertInto('tasks').values({ id: crypto.randomUUID(), title: 'never' }).execute()
        await sleep(trx).execute({ signal: gone.signal, inflightQueryAbortStrategy: 'cancel query' })
      })
    const refused = expect(call).rejects.toThrow('gone')
    await abortOnceRunning(database, gone)
    await refused
    await waitFor(() => expect(busy()).toBe(0), { timeout: 5_000 })
    expect(await sleepers()).toBe(0)
    expect(await database.admin.selectFrom('tasks').selectAll().execute()).toEqual([])
  })

  test.each([
    ['forUser', 0],
    ['execute', 1],
  ])('the first of two signals counts: the one given to %s', async (_, first) => {
    const [handle, statement] = [new AbortController(), new AbortController()]
    const call = sleep(database.forUser('alice', { signal: handle.signal })).execute({
      signal: statement.signal,
      inflightQueryAbortStrategy: 'cancel query',
    })
    const refused = expect(call).rejects.toThrow('gone')
    await abortOnceRunning(database, first === 0 ? handle : statement)
    await refused
    await waitFor(async () => expect(await sleepers()).toBe(0), { timeout: 5_000 })
  })
})
