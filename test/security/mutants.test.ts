import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../parts/program.js'
import { keySetMutants } from './mutants/key-set-mutants.js'
import { mutate } from './mutants/mutant.js'
import { tokenMutants } from './mutants/token-mutants.js'

test('every mutant fits the source: the long tests run them', async () => {
  const misfits: string[] = []
  for (const [rule, mutant] of [...tokenMutants, ...keySetMutants]) {
    const source = await readFile(join(root, mutant.file), 'utf8').catch(() => '')
    try {
      expect(mutate(source, mutant)).not.toBe(source)
    } catch (error) {
      misfits.push(`${rule}: ${error}`)
    }
  }
  expect(misfits).toEqual([])
})
