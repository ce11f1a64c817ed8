import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { createVerifier } from '../../server/verifier/index.js'
import { certificateOf } from './cases/certificate.js'
import { cases } from './cases/token-cases.js'
import { keys } from './cases/token-fixtures.js'

test.each(cases)('%s: %s', async (_, expected, run) => {
  expect(await run(createVerifier)).toBe(expected)
})

test('there are at least 80 cases, no two by the same name, and some are accepted', () => {
  const names = cases.map(([name]) => name)
  expect(names.length).toBeGreaterThanOrEqual(80)
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
  expect(cases.filter(([, expected]) => expected === 'accepted').length).toBeGreaterThanOrEqual(20)
})

test("the attacker's certificate is one, of the attacker's key", async () => {
  const { publicKey } = new X509Certificate(await certificateOf(keys.attacker))
  expect(publicKey.export({ format: 'jwk' })).toMatchObject({ x: keys.attacker.jwk.x })
})
