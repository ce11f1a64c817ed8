import { expect, test } from 'vitest'
import { keySetCases, outageCases } from './cases/key-set-cases.js'
import { keySetMutants } from './mutants/key-set-mutants.js'
import { mutant, weakened } from './mutants/mutant.js'

const cases = { ...keySetCases, ...outageCases }

const caseNamed = (name: string) => {
  const check = cases[name]
  if (check === undefined) throw new Error(`There is no case: ${name}`)
  return check
}

test.each(keySetMutants)('without "%s" a case turns red', async (_, rule, notices) => {
  const check = caseNamed(notices)
  await expect(check(await weakened(rule))).rejects.toMatchObject({ name: 'AssertionError' })
})

test('a copy that nothing is taken from turns none of them red', async () => {
  const copy = await weakened(mutant('server/verifier/keys/key-fetch.ts', 'status !== 200', 'status !== 200'))
  for (const name of new Set(keySetMutants.map(([, , notices]) => notices))) await caseNamed(name)(copy)
})
