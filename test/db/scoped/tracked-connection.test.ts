import { expect, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { watchAnswerPieces } from '../../parts/answer-pieces.js'
import { openTestDatabase } from '../../parts/database.js'
import { findMixedUpUsers } from '../../parts/interleavings.js'
import { mutant, weakenedModule } from '../../security/mutants/mutant.js'

test('a connection that is released at any moment is safe for the next caller', {
  timeout: 600_000,
}, async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const turns = (process.env.TURNS ?? '0').split(' ').map(Number)
  const crossings = findMixedUpUsers({
    open: openDatabase,
    url: database.url ?? '',
    moments: watchAnswerPieces(),
    turns,
  })
  for await (const crossing of crossings) expect.fail(crossing)
})

test('the test above fails if a connection in use is given back', { timeout: 60_000 }, async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const { openDatabase: open } = await weakenedModule<typeof import('../../../db/index.js')>('db/index.ts', [
    mutant(
      'db/scoped/connection.ts',
      'if (!isIdle || this.#transaction.isOpen) this.#session.isBroken = true',
    ),
    mutant(
      'db/scoped/session.ts',
      'if (this.isReleased || this.#isClientReleased) throw new Error(hasEnded)',
    ),
  ])
  const crossings = findMixedUpUsers({
    open,
    url: database.url ?? '',
    moments: watchAnswerPieces(),
    turns: [0, 3],
  })
  const first = await crossings.next()
  await crossings.return()
  expect(first.value).toMatch(/that returns after|that fails after/)
})
