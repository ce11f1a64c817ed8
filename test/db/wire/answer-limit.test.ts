import { EventEmitter } from 'node:events'
import type { Duplex } from 'node:stream'
import { sql } from 'kysely'
import { expect, test, vi } from 'vitest'
import { limitAnswer } from '../../../db/wire/answer-limit.js'
import { openTestDatabase } from '../../parts/database.js'

const megabytes = 1_048_576
/** A chunk of this length, without its memory. */
const chunk = (length: number) => ({ length })

test('an answer is refused once, above 256 MB, and only while it is counted', () => {
  const stream = new EventEmitter() as Duplex
  const refuse = vi.fn()
  const stop = limitAnswer(stream, refuse)
  stream.emit('data', chunk(256 * megabytes))
  expect(refuse).not.toHaveBeenCalled()
  stop()
  stream.emit('data', chunk(999 * megabytes))
  limitAnswer(stream, refuse)
  stream.emit('data', chunk(200 * megabytes))
  expect(refuse).not.toHaveBeenCalled()
  stream.emit('data', chunk(100 * megabytes))
  stream.emit('data', chunk(100 * megabytes))
  expect(refuse).toHaveBeenCalledOnce()
  expect(stream.listenerCount('data')).toBe(1)
})

if (process.env.LONG_TESTS) {
  test('a value that no text of V8 can hold fails its statement, and nothing else', async () => {
    await using database = await openTestDatabase('PostgreSQL', { poolMax: 1 })
    const value = sql`select repeat('x', 550000000) as value`.execute(database.forUser('alice'))
    await expect(value).rejects.toThrow('larger than 256 MB')
    const { rows } = await sql`select 1 as one`.execute(database.forUser('bob'))
    expect(rows).toEqual([{ one: 1 }])
  }, 120_000)
}
