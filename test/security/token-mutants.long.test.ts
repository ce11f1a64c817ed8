import { describe, expect, test } from 'vitest'
import { cases } from './cases/token-cases.js'
import { weakened } from './mutants/mutant.js'
import { tokenMutants } from './mutants/token-mutants.js'

const caseOf = (name: string) => {
  const found = cases.find(([one]) => one === name)
  if (found === undefined) throw new Error(`There is no case: ${name}`)
  return found
}

describe.each(tokenMutants)('taken away: %s', (_, weakness, name, outcome) => {
  test(`the case turns red: ${name}`, async () => {
    const [, expected, run] = caseOf(name)
    const seen = await run(await weakened(weakness))
    expect(seen).not.toBe(expected)
    expect(seen).toBe(outcome)
  })
})

test('a copy with no rule taken away passes the cases that the others fail', async () => {
  const rule = "'.', 4"
  const create = await weakened({ file: 'server/verifier/token/compact-token.ts', from: rule, to: rule })
  for (const [, , name] of tokenMutants) {
    const [, expected, run] = caseOf(name)
    expect([name, await run(create)]).toEqual([name, expected])
  }
})
