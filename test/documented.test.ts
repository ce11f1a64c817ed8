import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from './parts/program.js'

test('the tests that docs/security.md names are there', async () => {
  const names = (await readdir(join(root, 'test'), { recursive: true })).filter(name => name.endsWith('.ts'))
  const sources = await Promise.all(names.map(name => readFile(join(root, 'test', name), 'utf8')))
  const suites = sources.filter((_, index) => names[index]?.startsWith('security/')).join('\n')
  const document = await readFile(join(root, 'docs/security.md'), 'utf8')
  // The cases of a suite under security/ stand in files beside it.
  const sourceOf = (file: string) =>
    file.startsWith('security/') && names.includes(file) ? suites : (sources[names.indexOf(file)] ?? '')
  const named = [...document.matchAll(/\| `([\w/-]+\.test\.ts)`: (.+?) *\|$/gm)]
  expect(named.length).toBeGreaterThan(20)
  const missing = named.filter(([, file = '', name = '']) => !sourceOf(file).includes(name))
  expect(missing.map(([line]) => line)).toEqual([])
})
