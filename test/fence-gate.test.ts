import { sql } from 'kysely'
import { afterEach, expect, test, vi } from 'vitest'
import { FenceError } from '../db/index.js'
import { openTestDatabase } from './parts/database.js'

afterEach(() => void vi.useRealTimers())

test('a gap that opens under a running server closes it within a minute, and the mend opens it again', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  await using database = await openTestDatabase('PostgreSQL')
  const alice = database.forUser('alice')
  const list = () => alice.selectFrom('tasks').select('id').execute()
  await list()
  await sql`alter table tasks disable row level security`.execute(database.db)
  await list()
  vi.setSystemTime(Date.now() + 60_001)
  await list()
  await vi.waitFor(() => expect(list()).rejects.toThrow(FenceError), { timeout: 10_000 })
  await sql`alter table tasks enable row level security`.execute(database.db)
  await expect(list()).rejects.toThrow(FenceError)
  vi.setSystemTime(Date.now() + 5_001)
  expect(await list()).toEqual([])
})
