import { expect, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { findCrossings } from '../../parts/crossings.js'
import { openTestDatabase } from '../../parts/database.js'
import { watchMoments } from '../../parts/moments.js'
import { weakenedModule } from '../../security/weakened.js'
import { cut } from '../../security/weaknesses-cut.js'

test('a connection that is released at any moment is safe for the next caller', {
  timeout: 600_000,
}, async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const turns = (process.env.TURNS ?? '0').split(' ').map(Number)
  const crossings = findCrossings({
    open: openDatabase,
    url: database.url ?? '',
    moments: watchMoments(),
    turns,
  })
  for await (const crossing of crossings) expect.fail(crossing)
})

test('the test above fails if calls in flight are not counted', { timeout: 60_000 }, async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const { openDatabase: open } = await weakenedModule<typeof import('../../../db/index.js')>('db/index.ts', [
    cut('db/scoped/tracked-connection.ts', 'this.#callsInFlight === 0', 'true'),
    cut('db/scoped/session.ts', 'if (this.isReleased || this.#isClientReleased) throw new Error(hasEnded)'),
  ])
  const crossings = findCrossings({ open, url: database.url ?? '', moments: watchMoments(), turns: [0, 3] })
  const first = await crossings.next()
  await crossings.return()
  expect(first.value).toMatch(/that returns after|that fails after/)
})
