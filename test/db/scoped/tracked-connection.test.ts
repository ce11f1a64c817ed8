import { expect, test } from 'vitest'
import { openDatabase } from '../../../db/index.js'
import { watchAnswerPieces } from '../../parts/answer-pieces.js'
import { openTestDatabase } from '../../parts/database.js'
import { findMixedUpUsers } from '../../parts/interleavings.js'
import { mutant, weakenedModule } from '../../security/mutants/mutant.js'

test('a connection that is given back at any moment of any path serves the next caller as theirs alone', {
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

test('and it would be seen if what is on its way did not count', { timeout: 60_000 }, async () => {
  await using database = await openTestDatabase('PostgreSQL')
  const { openDatabase: open } = await weakenedModule<typeof import('../../../db/index.js')>('db/index.ts', [
    mutant('db/scoped/tracked-connection.ts', 'this.#underWay === 0', 'true'),
    mutant('db/scoped/session.ts', 'if (this.#isReturned || this.#isLetGo) throw new Error(returned)'),
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
