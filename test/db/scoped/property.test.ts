import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { setUpFence } from '../../../db/index.js'
import { type Action, actionsOf, faults, runActions, steps } from '../../parts/concurrent-callers.js'
import { type DatabaseKind, openTestDatabase } from '../../parts/database.js'
import { isolationMutants } from '../../parts/isolation-mutants.js'
import {
  createOwnedTables,
  type OwnerKind,
  ownerKinds,
  ownerKindsOfThisRun,
  owners,
} from '../../parts/owner-kinds.js'

async function openFew(kind: OwnerKind, on: DatabaseKind, fenceSecret?: string) {
  const database = await openTestDatabase(on, { poolMax: 3, owners, fenceSecret })
  if (fenceSecret !== undefined) await setUpFence(database.admin, { role: 'app_user', secret: fenceSecret })
  await createOwnedTables(database, kind)
  return database
}

const runs = Number(process.env.PROPERTY_RUNS ?? 20)
/** The first kind has all runs, because it has both rows of users and rows of organisations. */
const runsOf = (kind: OwnerKind) => (kind === ownerKinds[0] ? runs : Math.ceil(runs / 10))

/** In `npm test` the first breaches, each on the first kind that it breaks; in `npm run test:long` all on all. */
const isLong = Boolean(process.env.LONG_TESTS)
const breaches = isolationMutants.slice(0, isLong ? undefined : 5).flatMap(mutant => {
  const kinds = ownerKinds.filter(({ name }) => mutant.kinds.test(name))
  return kinds.slice(0, isLong ? undefined : 1).map(kind => [mutant.name, kind.name, mutant, kind] as const)
})

describe.each(ownerKindsOfThisRun)('several callers at once over few connections, owners: $name', kind => {
  const holds = async (
    on: DatabaseKind,
    among: readonly Action['step'][],
    numRuns: number,
    secret?: string,
  ) => {
    await using database = await openFew(kind, on, secret)
    const property = fc.asyncProperty(fc.array(actionsOf(kind, among), { maxLength: 40 }), async actions => {
      expect(await runActions(database, kind, actions)).toEqual([])
    })
    await fc.assert(property, { numRuns })
  }

  test('see and change only their own rows, whatever fails, on PostgreSQL', () =>
    holds('PostgreSQL', [...steps, ...faults], runsOf(kind)))

  if (isLong) {
    test('see and change only their own rows if their identity is signed', () =>
      holds(
        'PostgreSQL',
        [...steps, ...faults],
        Math.ceil(runsOf(kind) / 3),
        randomBytes(32).toString('hex'),
      ))

    test('see and change only their own rows on the embedded database', () =>
      holds('embedded', steps, Math.ceil(runsOf(kind) / 3)))
  }
})

test.each(breaches)(
  'the test above would fail if %s, owners: %s',
  async (_, _name, { breach, noticed }, kind) => {
    await using database = await openFew(kind, 'PostgreSQL')
    const open = await breach(database, kind)
    const seen = new Set<string>()
    const property = fc.asyncProperty(
      fc.array(actionsOf(kind, steps), { minLength: 20, maxLength: 40 }),
      async actions => {
        for (const wrong of await runActions(open, kind, actions)) seen.add(wrong)
        expect([...seen].filter(wrong => noticed.test(wrong))).toEqual([])
      },
    )
    await expect(fc.assert(property, { numRuns: 30, endOnFailure: true })).rejects.toThrow('Property failed')
  },
)
