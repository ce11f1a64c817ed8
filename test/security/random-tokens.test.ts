import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createVerifier } from '../../server/verifier/index.js'
import { mutations } from './cases/random-tokens.js'
import { stubKeySets } from './cases/token-case.js'
import { weakened } from './mutants/mutant.js'
import { tokenMutants } from './mutants/token-mutants.js'

/** A failure prints the seed and the path of the case, which repeat it. */
const often = { numRuns: process.env.LONG_TESTS ? 2_000 : 250, seed: 20_261_121 }

let web: ReturnType<typeof stubKeySets>
beforeAll(() => {
  web = stubKeySets()
})
afterAll(() => web[Symbol.dispose]())

const named = mutations.map(({ name, property }) => [name, property] as const)

test.each(named)('%s: accepted only where it should be', async (_, property) => {
  const tried = { accepted: 0, refused: 0 }
  await fc.assert(await property(createVerifier, tried), often)
  expect(tried.refused).toBeGreaterThan(100)
})

test.each([
  ['one bit of its characters flipped', 'base64url has one form'],
  ['one bit of its header, claims or signature flipped', 'the signature is verified'],
  ['parts of one token and of another', 'the cache knows whole tokens'],
  ['parts of one token and of another', 'the cache knows whole tokens, not their signatures'],
  ['parts in another order, left out or twice', 'the cache knows whole tokens'],
  ['a claim of another type or value, signed by the issuer', 'aud is a text or a list of texts'],
  ['a claim of another type or value, signed by the issuer', 'nbf'],
])('%s: that is noticed without the rule: %s', async (name, rule) => {
  const [, weakness] = tokenMutants.find(([one]) => one === rule) ?? []
  const mutation = mutations.find(one => one.name === name)
  if (weakness === undefined || mutation === undefined) throw new Error('There is no such rule or mutation.')
  const property = await mutation.property(await weakened(weakness), { accepted: 0, refused: 0 })
  await expect(fc.assert(property, { ...often, endOnFailure: true })).rejects.toThrow('Property failed')
})
